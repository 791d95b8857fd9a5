// The border between the server and what computes answers.
//
// zeta-server knows models only through this header; a backend is a shared object that implements it and
// exports `zeta_backend`. Nothing here needs torch, protobuf or a transport, so that none of these ever meet.
//
// Tensors are dense, row-major, little-endian host buffers, laid out as on the KServe v2 wire:
// DataType::kBytes elements are each a 4-byte little-endian length followed by that many bytes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace zeta::serving {

enum class DataType {
  kBool,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFp16,
  kBf16,
  kFp32,
  kFp64,
  kBytes
};

// A view of memory and whatever keeps it alive. Copying shares the memory.
struct Buffer {
  const std::byte* data = nullptr;
  size_t size = 0;  // bytes
  std::shared_ptr<const void> owner;
};

struct Tensor {
  std::string name;
  DataType datatype = DataType::kFp32;
  std::vector<int64_t> shape;
  Buffer data;
};

using Parameter = std::variant<bool, int64_t, double, std::string>;
using Parameters = std::map<std::string, Parameter>;

// Set by the transport when the client has gone; polled by the backend. Thread-safe.
class Cancellation {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

class RequestTrace;

struct InferRequest {
  std::string id;
  std::vector<Tensor> inputs;
  Parameters parameters;
  std::vector<std::string> requested_outputs;  // empty: all
  std::shared_ptr<Cancellation> cancellation = std::make_shared<Cancellation>();
  std::shared_ptr<RequestTrace> trace{};  // null: nobody follows it; the server's business, not a backend's
};

// How long the parts of an execution took.
struct RequestPhases {
  std::chrono::nanoseconds queue{0}, compute_input{0}, compute_infer{0}, compute_output{0};
};

// One of the responses to a request. After the one with `final` set, or with a status that is not OK, none
// follows.
struct InferResponse {
  absl::Status status;
  std::vector<Tensor> outputs;
  Parameters parameters;
  bool final = true;
  RequestPhases phases = {};  // of a final response: what the model's account says; the server sets them
};

// Where the responses to one request go. Calls come one after another, from any thread; they must return
// quickly.
class ResponseSink {
 public:
  virtual ~ResponseSink() = default;
  virtual void send(InferResponse response) = 0;
};

struct TensorMetadata {
  std::string name;
  DataType datatype;
  std::vector<int64_t> shape;  // -1: any
  bool optional = false;       // of an input: a request may leave it out
  // Of an output: the names of classes, for the classification extension.
  std::vector<std::string> labels = {};
};

struct ModelMetadata {
  std::string name;
  std::string version;
  std::string platform;
  std::vector<TensorMetadata> inputs;
  std::vector<TensorMetadata> outputs;
  bool decoupled = false;      // may answer a request with several responses
  std::string notice{};        // what whoever runs the server should know of how it was loaded; logged
  int64_t max_batch_size = 0;  // > 0: dimension 0 of every tensor is a batch
  std::map<std::string, std::string> metric_tags = {};  // further labels of its metrics

  bool batched() const { return max_batch_size > 0; }
};

// A figure that a model publishes under /metrics, labelled there with model and version.
struct MetricSample {
  enum class Kind { kCounter, kGauge };
  std::string name;
  std::string help;
  Kind kind;
  double value;
};

// A loaded model. infer, metadata, metrics and notice may be called from any thread at once. Destroying it
// first answers what is in flight, with an error if need be.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelMetadata& metadata() const = 0;
  // Takes the request and returns at once; exactly one final response reaches `sink`. When the model's queue
  // is full the response is absl::StatusCode::kResourceExhausted → 503.
  virtual void infer(std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink) = 0;
  virtual std::vector<MetricSample> metrics() const { return {}; }
  // metadata().notice and what was found since.
  virtual std::string notice() const { return metadata().notice; }
};

// Shapes for which a CUDA graph is captured: optimization.cuda.graph_spec.
struct CudaGraphSpec {
  using Inputs = std::map<std::string, std::vector<int64_t>>;  // by name, without the batch dimension
  int64_t batch_size = 0;                                      // 0 where dimension 0 is no batch
  Inputs inputs{};
  // The smallest shapes that are padded with zeros to run in this graph; absent: exactly these.
  struct LowerBound {
    int64_t batch_size = 0;
    Inputs inputs{};
  };
  std::optional<LowerBound> lower_bound{};
};

// optimization.cuda. It has no effect on the CPU, where a backend says so in its notice.
struct CudaOptions {
  bool graphs = false;
  std::vector<CudaGraphSpec> graph_specs{};  // empty: the backend chooses
  bool busy_wait_events = false;             // burn a CPU core for a shorter wait
  bool output_copy_stream = false;           // outputs leave the GPU on a stream of their own
};

// What to load: the folder that holds the model's files, and settings from its configuration or the command
// line. `inputs` and `outputs` are the tensors that the model itself takes and gives, with the batch
// dimension
// (-1) where max_batch_size > 0; where they are empty the backend finds out, if it can.
struct ModelSource {
  std::string name;
  std::string version;
  std::string folder;
  Parameters parameters;
  std::string file{};          // within `folder`; empty: the backend's usual name
  int64_t max_batch_size = 0;  // 0: dimension 0 has no special meaning
  std::vector<TensorMetadata> inputs{};
  std::vector<TensorMetadata> outputs{};
  CudaOptions cuda{};
};

// ---- Models that leave queues, batches and threads to the server ----

// Where an instance of a model computes.
struct Placement {
  enum class Kind { kCpu, kGpu, kModel };  // kModel: where the model's file says
  std::string name;                        // of the instance, for messages
  Kind kind = Kind::kCpu;
  int device = 0;  // of a GPU
};

// An input of several requests at once: `pieces`, laid one after another, are a tensor of `shape`. The
// instance puts them where it computes; this is the one copy that a batch costs, and a single piece can be
// used in place.
struct BatchInput {
  std::string name;
  DataType datatype = DataType::kFp32;
  std::vector<int64_t> shape;
  std::vector<Buffer> pieces;
};

struct Batch {
  int64_t size = 1;  // along dimension 0
  std::vector<BatchInput> inputs;
  std::vector<std::string> outputs;  // wanted; empty: all
  Parameters parameters;             // the same of all requests
};

// Outputs have the batch's size as dimension 0; the requests' shares are views of them.
struct BatchResult {
  std::vector<Tensor> outputs;
  std::chrono::steady_clock::time_point inputs_ready;  // when the inputs were where they are computed on
  std::chrono::steady_clock::time_point computed;      // when the computation had ended
  // Of an iterative sequence, by request: run it again, with what it leaves as its state. Empty: none.
  std::vector<bool> again = {};
};

// Computes one batch at a time. All calls, from construction on, come from one thread.
class Instance {
 public:
  virtual ~Instance() = default;
  // Blocks. A status fails every request of the batch and leaves the instance fit for the next.
  virtual absl::StatusOr<BatchResult> execute(const Batch& batch) = 0;
};

// A loaded model, of which instances can be made. Outlives them. metadata, metrics and notice may be called
// from any thread, make_instance from several at once.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual const ModelMetadata& metadata() const = 0;
  virtual absl::StatusOr<std::unique_ptr<Instance>> make_instance(const Placement& placement) = 0;
  virtual std::vector<MetricSample> metrics() const { return {}; }
  // metadata().notice and what the instances have found.
  virtual std::string notice() const { return metadata().notice; }
};

// Implements one of the two.
class Backend {
 public:
  virtual ~Backend() = default;
  // A model that schedules its requests itself. Blocks until it can answer. A status names the file or value
  // at fault and the remedy.
  virtual absl::StatusOr<std::unique_ptr<Model>> load(const ModelSource&) {
    return absl::UnimplementedError("this backend leaves scheduling to the server");
  }
  // A model that the server schedules (src/serving/scheduling); null: call load instead.
  virtual absl::StatusOr<std::unique_ptr<Executable>> load_executable(const ModelSource&) { return nullptr; }
};

}  // namespace zeta::serving

// The one symbol a backend exports. The caller owns the result and keeps the library open for as long as any
// Backend or Model of it lives.
extern "C" __attribute__((visibility("default"))) zeta::serving::Backend* zeta_backend();
