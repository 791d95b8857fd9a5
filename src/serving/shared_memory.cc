#include "src/serving/shared_memory.h"

#include <type_traits>
#include <utility>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

constexpr size_t kMaxRegions = 4096;
constexpr size_t kMaxName = 256;

template <class Region>
constexpr std::string_view kKind = std::is_same_v<Region, SharedMemoryRegion> ? "system" : "CUDA";

}  // namespace

absl::Status SharedMemoryRegistry::check_allowed() const {
  if (allowed_) return absl::OkStatus();
  return absl::UnavailableError("shared memory of clients is not allowed (--allow-client-shm)");
}

template <class Region>
absl::Status SharedMemoryRegistry::add_region(const Region& region) {
  if (absl::Status status = check_allowed(); !status.ok()) return status;
  if (region.name.empty() || region.name.size() > kMaxName) {
    return absl::InvalidArgumentError("expected a region's name of 1 to 256 bytes");
  }
  MutexLock lock(mutex_);
  if (regions_.contains(region.name)) {
    return absl::AlreadyExistsError(concat("shared memory region '", region.name, "' already in manager"));
  }
  if (regions_.size() >= kMaxRegions) {
    return absl::ResourceExhaustedError(
        concat("expected at most ", kMaxRegions, " shared memory regions; unregister some first"));
  }
  auto range = open_region(region);
  if (!range.ok()) return range.status();
  regions_.emplace(region.name, Opened{region, *std::move(range)});
  return absl::OkStatus();
}

template <class Region>
absl::Status SharedMemoryRegistry::remove_regions(std::string_view name) {
  if (absl::Status status = check_allowed(); !status.ok()) return status;
  MutexLock lock(mutex_);
  std::erase_if(regions_, [&](const auto& entry) {
    return std::holds_alternative<Region>(entry.second.region) && (name.empty() || entry.first == name);
  });
  return absl::OkStatus();
}

template <class Region>
absl::StatusOr<std::vector<Region>> SharedMemoryRegistry::list_regions(std::string_view name) const {
  if (absl::Status status = check_allowed(); !status.ok()) return status;
  MutexLock lock(mutex_);
  std::vector<Region> regions;
  for (const auto& [key, opened] : regions_) {
    if (!name.empty() && key != name) continue;
    if (const auto* region = std::get_if<Region>(&opened.region)) {
      regions.push_back(*region);
    } else if (!name.empty()) {
      const bool is_system = kKind<Region> == "system";
      return absl::NotFoundError(concat("The region named '", name, "' is registered as ",
                                        is_system ? "CUDA" : "system", " shared memory, not ", kKind<Region>,
                                        " shared memory"));
    }
  }
  if (name.empty() || !regions.empty()) return regions;
  const bool is_system = kKind<Region> == "system";
  return absl::NotFoundError(
      concat("Unable to find ", is_system ? "system" : "cuda", " shared memory region: '", name, "'"));
}

absl::Status SharedMemoryRegistry::add(const SharedMemoryRegion& region) { return add_region(region); }
absl::Status SharedMemoryRegistry::add_cuda(const CudaSharedMemoryRegion& region) {
  return add_region(region);
}

absl::Status SharedMemoryRegistry::remove(std::string_view name) {
  return remove_regions<SharedMemoryRegion>(name);
}
absl::Status SharedMemoryRegistry::remove_cuda(std::string_view name) {
  return remove_regions<CudaSharedMemoryRegion>(name);
}

absl::StatusOr<std::vector<SharedMemoryRegion>> SharedMemoryRegistry::list(std::string_view name) const {
  return list_regions<SharedMemoryRegion>(name);
}
absl::StatusOr<std::vector<CudaSharedMemoryRegion>> SharedMemoryRegistry::list_cuda(
    std::string_view name) const {
  return list_regions<CudaSharedMemoryRegion>(name);
}

absl::StatusOr<SharedMemoryRange> SharedMemoryRegistry::find(std::string_view name, uint64_t offset,
                                                             uint64_t size) const {
  if (absl::Status status = check_allowed(); !status.ok()) return status;
  MutexLock lock(mutex_);
  const auto found = regions_.find(name);
  if (found == regions_.end()) {
    return absl::NotFoundError(concat("Unable to find shared memory region: '", name, "'"));
  }
  const SharedMemoryRange& range = found->second.range;
  if (offset > range.size() || size > range.size() - offset) {
    return absl::InvalidArgumentError(
        concat("Invalid offset + byte size for shared memory region: '", name, "'"));
  }
  return range.part(offset, size);
}

}  // namespace zeta::serving
