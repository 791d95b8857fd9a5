// One request on its way through an ensemble.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "src/base/mutex.h"
#include "src/serving/backend.h"
#include "src/serving/ensemble/ensemble_model.h"

namespace zeta::serving {

// Tensors are numbered by round: what a decoupled member sends in its n-th response is of round n, and so is
// what the steps behind it make of that; all else is of round 0. Held by the sinks that its members have.
class EnsembleRun : public std::enable_shared_from_this<EnsembleRun> {
 public:
  EnsembleRun(std::shared_ptr<const EnsembleContext> context, std::shared_ptr<const InferRequest> request,
              std::shared_ptr<ResponseSink> sink);
  void start() ZETA_EXCLUDES(mutex_);

 private:
  class Sink;
  struct Value {
    std::optional<Tensor> tensor;  // none: an optional input, or an output that the member left out
    bool is_batched = false;
    size_t uses = 0;  // that are still to come
  };
  struct Wire {
    std::map<uint64_t, Value> rounds;
    std::set<size_t> readers;  // steps
    bool is_answer = false;    // a requested output
  };
  struct Start {
    size_t step = 0;
    uint64_t round = 0;
    std::shared_ptr<InferRequest> request;
  };
  using Action = std::variant<Start, InferResponse>;

  absl::Status find_members();
  void connect() ZETA_REQUIRES(mutex_);
  std::vector<bool> needed_steps() const;
  bool is_requested(const std::string& output) const;
  void put_inputs(std::set<std::pair<size_t, uint64_t>>& ready) ZETA_REQUIRES(mutex_);

  void put(const std::string& name, uint64_t round, Value value, std::set<std::pair<size_t, uint64_t>>& ready)
      ZETA_REQUIRES(mutex_);
  Value use(Wire& wire, uint64_t round) ZETA_REQUIRES(mutex_);
  std::shared_ptr<InferRequest> make_request(size_t step, uint64_t round) ZETA_REQUIRES(mutex_);
  std::optional<InferResponse> make_answer(uint64_t round) ZETA_REQUIRES(mutex_);

  // A member's response to the step's request of `round`.
  void receive(size_t step, uint64_t round, InferResponse response) ZETA_EXCLUDES(mutex_);
  void keep_outputs(size_t step, uint64_t round, InferResponse& response,
                    std::set<std::pair<size_t, uint64_t>>& ready) ZETA_REQUIRES(mutex_);
  void go_on(const std::set<std::pair<size_t, uint64_t>>& ready, std::optional<InferResponse> answer)
      ZETA_REQUIRES(mutex_);
  void fail(const absl::Status& status) ZETA_REQUIRES(mutex_);
  void finish(InferResponse response) ZETA_REQUIRES(mutex_);

  // Does what is due. One thread at a time, so that responses go out one after another and members that
  // answer at once do not call each other deeper and deeper.
  void drive() ZETA_EXCLUDES(mutex_);
  void begin(Start start) ZETA_EXCLUDES(mutex_);
  bool has_ended() ZETA_EXCLUDES(mutex_);

  const std::shared_ptr<const EnsembleContext> context_;
  const std::shared_ptr<const InferRequest> request_;
  const std::shared_ptr<ResponseSink> sink_;
  std::vector<std::shared_ptr<ServedModel>> members_;  // of each step

  Mutex mutex_;
  std::map<std::string, Wire> wires_ ZETA_GUARDED_BY(mutex_);
  std::vector<uint64_t> responses_ ZETA_GUARDED_BY(mutex_);  // that decoupled steps have sent
  size_t in_flight_ ZETA_GUARDED_BY(mutex_) = 0;
  bool answered_ ZETA_GUARDED_BY(mutex_) = false;
  bool ended_ ZETA_GUARDED_BY(mutex_) = false;
  RequestPhases phases_ ZETA_GUARDED_BY(mutex_);
  std::deque<Action> actions_ ZETA_GUARDED_BY(mutex_);
  bool driving_ ZETA_GUARDED_BY(mutex_) = false;
};

}  // namespace zeta::serving
