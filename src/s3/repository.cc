#include "src/s3/repository.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "src/base/concat.h"
#include "src/base/log.h"

namespace zeta::s3 {
namespace {

namespace fs = std::filesystem;
using serving::FetchedModel;

constexpr int kTries = 3;  // of a model whose files are replaced meanwhile

// A folder of its own, and its share of the disk; both end with the last reference.
class Copy {
 public:
  Copy(std::shared_ptr<DiskShare> share, std::string root, uint64_t size)
      : share_(std::move(share)), root_(std::move(root)), size_(size) {}
  ~Copy() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
    share_->used -= size_;
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

 private:
  const std::shared_ptr<DiskShare> share_;
  const std::string root_;
  const uint64_t size_;
};

// A key below a model's prefix as a path below its folder: no empty part, no "." and none that leads upwards.
bool is_safe(std::string_view path) {
  if (path.empty() || path.find('\\') != std::string_view::npos || path.find('\0') != std::string_view::npos)
    return false;
  for (std::string_view rest = path;;) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    rest.remove_prefix(slash + 1);
  }
}

std::string fingerprint_of(const std::vector<Object>& objects) {
  std::string text;
  for (const Object& object : objects) text += concat(object.key, "\t", object.size, "\t", object.etag, "\n");
  return text;
}

absl::StatusOr<std::shared_ptr<const Copy>> reserve(const std::shared_ptr<DiskShare>& share, uint64_t size,
                                                    const std::string& model, std::string& root) {
  std::error_code error;
  const fs::path parent = share->folder.empty() ? fs::temp_directory_path(error) : fs::path(share->folder);
  const uint64_t before = share->used.fetch_add(size);
  const bool too_much = share->most_bytes != 0 && before + size > share->most_bytes;
  const uint64_t room = fs::space(parent, error).available;
  if (too_much || error || size > room) {
    share->used -= size;
    if (error) return absl::InternalError(concat("cannot use ", parent.string(), ": ", error.message()));
    return absl::ResourceExhaustedError(
        concat("model '", model, "' needs ", size, " bytes of ", parent.string(), ", where ",
               too_much ? concat(share->most_bytes - std::min(before, share->most_bytes),
                                 " are left (--model-copy-limit)")
                        : concat(room, " are free")));
  }
  root = (parent / "zeta-repository-XXXXXX").string();
  if (mkdtemp(root.data()) == nullptr) {
    share->used -= size;
    return absl::InternalError(concat("cannot make a temporary folder such as ", root));
  }
  return std::make_shared<const Copy>(share, root, size);
}

}  // namespace

Repository::Repository(Location location, std::shared_ptr<DiskShare> share)
    : location_(std::move(location)), share_(std::move(share)) {}

absl::StatusOr<std::unique_ptr<Bucket>> Repository::open() const {
  auto credentials = find_credentials(location_.text);
  if (!credentials.ok()) return credentials.status();
  return std::make_unique<Bucket>(location_, *std::move(credentials));
}

absl::StatusOr<std::vector<std::string>> Repository::model_names() {
  auto bucket = open();
  if (!bucket.ok()) return bucket.status();
  const auto listing = (*bucket)->list(location_.prefix, true);
  if (!listing.ok()) return listing.status();
  std::vector<std::string> names;
  for (const std::string& folder : listing->folders) {
    if (!folder.starts_with(location_.prefix) || !folder.ends_with('/')) continue;
    const std::string name =
        folder.substr(location_.prefix.size(), folder.size() - location_.prefix.size() - 1);
    if (is_safe(name) && !name.starts_with('.') && name.find('/') == std::string::npos) names.push_back(name);
  }
  std::ranges::sort(names);
  MutexLock lock(mutex_);
  names_ = names;
  return names;
}

std::vector<std::string> Repository::known_names() const {
  MutexLock lock(mutex_);
  return names_;
}

absl::StatusOr<std::vector<Object>> Repository::objects_of(Bucket& bucket, const std::string& model) const {
  const std::string prefix = concat(location_.prefix, model, "/");
  auto listing = bucket.list(prefix, false);
  if (!listing.ok()) return listing.status();
  std::vector<Object> objects = std::move(listing->objects);
  for (const Object& object : objects) {
    const std::string_view path =
        std::string_view(object.key).substr(std::min(prefix.size(), object.key.size()));
    const bool folder = object.key.ends_with('/');  // a mark that some tools leave
    if (object.key.starts_with(prefix) && (folder || is_safe(path))) continue;
    return absl::InvalidArgumentError(
        concat(location_.text, ": the key '", object.key, "' is no path inside the model's folder"));
  }
  std::erase_if(objects, [](const Object& object) { return object.key.ends_with('/'); });
  if (objects.empty()) return absl::NotFoundError(concat(location_.text, " holds no model '", model, "'"));
  std::ranges::sort(objects, {}, &Object::key);
  return objects;
}

absl::StatusOr<std::string> Repository::fingerprint(const std::string& model) {
  auto bucket = open();
  if (!bucket.ok()) return bucket.status();
  const auto objects = objects_of(**bucket, model);
  if (!objects.ok()) return objects.status();
  return fingerprint_of(*objects);
}

absl::StatusOr<FetchedModel> Repository::fetch(const std::string& model) {
  auto bucket = open();
  if (!bucket.ok()) return bucket.status();
  auto fetched = fetch_once(**bucket, model);
  for (int i = 1; i < kTries && absl::IsAborted(fetched.status()); ++i) fetched = fetch_once(**bucket, model);
  return fetched;
}

absl::StatusOr<FetchedModel> Repository::fetch_once(Bucket& bucket, const std::string& model) const {
  const auto objects = objects_of(bucket, model);
  if (!objects.ok()) return objects.status();
  uint64_t size = 0;
  for (const Object& object : *objects) size += object.size;
  std::string root;
  auto copy = reserve(share_, size, model, root);
  if (!copy.ok()) return copy.status();
  const fs::path folder = fs::path(root) / model;
  const size_t prefix = location_.prefix.size() + model.size() + 1;
  for (const Object& object : *objects) {
    const fs::path path = folder / object.key.substr(prefix);
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) {
      return absl::InvalidArgumentError(
          concat(location_.text, ": the key '", object.key, "' cannot be a file: ", error.message()));
    }
    if (absl::Status status = bucket.download(object, path.string()); !status.ok()) return status;
  }
  log::info("model fetched",
            {{"model", model}, {"repository", location_.text}, {"files", objects->size()}, {"bytes", size}});
  return FetchedModel{folder.string(), fingerprint_of(*objects), *std::move(copy)};
}

}  // namespace zeta::s3
