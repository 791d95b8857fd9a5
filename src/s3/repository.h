// A model repository in an S3 bucket.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/base/mutex.h"
#include "src/s3/bucket.h"
#include "src/serving/remote_repository.h"

namespace zeta::s3 {

// What the models of all repositories may take of the disk.
struct DiskShare {
  std::string folder;       // where folders are made; "": the system's place for temporary files
  uint64_t most_bytes = 0;  // 0: what there is room for
  std::atomic<uint64_t> used{0};
};

// Every "folder" directly below the location's prefix is a model. Keys that would leave the model's folder
// are refused. Files are those of one listing: one that is replaced meanwhile makes the whole be fetched
// anew.
class Repository final : public serving::RemoteRepository {
 public:
  Repository(Location location, std::shared_ptr<DiskShare> share);

  const std::string& location() const override { return location_.text; }
  absl::StatusOr<std::vector<std::string>> model_names() override ZETA_EXCLUDES(mutex_);
  std::vector<std::string> known_names() const override ZETA_EXCLUDES(mutex_);
  absl::StatusOr<std::string> fingerprint(const std::string& model) override;
  absl::StatusOr<serving::FetchedModel> fetch(const std::string& model) override;

 private:
  absl::StatusOr<std::unique_ptr<Bucket>> open() const;
  absl::StatusOr<std::vector<Object>> objects_of(Bucket& bucket, const std::string& model) const;
  absl::StatusOr<serving::FetchedModel> fetch_once(Bucket& bucket, const std::string& model) const;

  const Location location_;
  const std::shared_ptr<DiskShare> share_;
  mutable Mutex mutex_;
  std::vector<std::string> names_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::s3
