#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <exception>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "src/backends/torch/cuda.h"

namespace zeta::torch_backend {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

// Streams are used again rather than destroyed: torch keeps cached memory and cuBLAS workspaces for each.
// They are not torch's own 32, which several users share: a capture would record what the others do.
class StreamStore {
 public:
  cudaStream_t take(int device) {
    const std::lock_guard lock(mutex_);
    std::vector<cudaStream_t>& idle = idle_[device];
    if (idle.empty()) {
      cudaStream_t made = nullptr;
      C10_CUDA_CHECK(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
      return made;
    }
    cudaStream_t stream = idle.back();
    idle.pop_back();
    return stream;
  }
  void give_back(int device, cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    idle_[device].push_back(stream);
  }

 private:
  std::mutex mutex_;
  std::map<int, std::vector<cudaStream_t>> idle_;
};

StreamStore& streams() {
  static auto* const store = new StreamStore;
  return *store;
}

class Event {
 public:
  explicit Event(bool busy_wait) {
    C10_CUDA_CHECK(cudaEventCreateWithFlags(&event_, busy_wait ? cudaEventDefault : cudaEventBlockingSync));
  }
  ~Event() { C10_CUDA_CHECK_WARN(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { C10_CUDA_CHECK(cudaEventRecord(event_, stream)); }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// A share in a pool of graphs' memory.
class PoolShare {
 public:
  // Until stop(), memory asked for on `stream` comes from the pool.
  PoolShare(int device, c10::MempoolId_t pool, cudaStream_t stream) : device_(device), pool_(pool) {
    allocator::beginAllocateToPool(index(), pool_, [stream](cudaStream_t other) { return other == stream; });
  }
  void stop() { allocator::endAllocateToPool(index(), pool_); }
  ~PoolShare() { allocator::releasePool(index(), pool_); }
  PoolShare(const PoolShare&) = delete;
  PoolShare& operator=(const PoolShare&) = delete;

 private:
  c10::DeviceIndex index() const { return static_cast<c10::DeviceIndex>(device_); }
  const int device_;
  const c10::MempoolId_t pool_;
};

class RecordedGraph final : public CudaGraph {
 public:
  RecordedGraph(cudaGraph_t graph, cudaStream_t stream, std::unique_ptr<PoolShare> memory)
      : memory_(std::move(memory)), stream_(stream) {
    const cudaError_t made = cudaGraphInstantiate(&graph_, graph, 0);
    C10_CUDA_CHECK_WARN(cudaGraphDestroy(graph));
    C10_CUDA_CHECK(made);
  }
  ~RecordedGraph() override { C10_CUDA_CHECK_WARN(cudaGraphExecDestroy(graph_)); }
  void replay() override { C10_CUDA_CHECK(cudaGraphLaunch(graph_, stream_)); }

 private:
  const std::unique_ptr<PoolShare> memory_;
  const cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
};

class Queue final : public CudaQueue {
 public:
  Queue(int device, bool busy_wait)
      : device_(device), stream_(streams().take(device)), mark_(busy_wait), done_(busy_wait) {}
  ~Queue() override {
    // The next user of the stream must not find work on it.
    C10_CUDA_CHECK_WARN(cudaStreamSynchronize(stream_));
    streams().give_back(device_, stream_);
  }

  c10::Stream stream() const override {
    return c10::cuda::getStreamFromExternal(stream_, static_cast<c10::DeviceIndex>(device_)).unwrap();
  }
  void follow(CudaQueue& other) override {
    mark_.record(static_cast<Queue&>(other).stream_);
    C10_CUDA_CHECK(cudaStreamWaitEvent(stream_, mark_.get(), 0));
  }
  void mark() override { mark_.record(stream_); }
  void wait() override {
    done_.record(stream_);
    C10_CUDA_CHECK(cudaEventSynchronize(done_.get()));
  }
  std::chrono::nanoseconds since_mark() override {
    float milliseconds = 0;
    C10_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, mark_.get(), done_.get()));
    return std::chrono::nanoseconds(static_cast<int64_t>(milliseconds * 1e6F));
  }

  std::unique_ptr<CudaGraph> record(const std::function<void()>& work) override {
    wait();
    auto memory = std::make_unique<PoolShare>(device_, pool_, stream_);
    cudaGraph_t graph = nullptr;
    std::exception_ptr failure;
    const cudaError_t begun = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    cudaError_t ended = cudaSuccess;
    if (begun == cudaSuccess) {
      try {
        work();
      } catch (...) {
        failure = std::current_exception();
      }
      ended = cudaStreamEndCapture(stream_, &graph);
    }
    memory->stop();
    if (failure || ended != cudaSuccess) {
      if (graph != nullptr) C10_CUDA_CHECK_WARN(cudaGraphDestroy(graph));
      static_cast<void>(cudaGetLastError());  // else the next call would report it
    }
    if (failure) std::rethrow_exception(failure);
    C10_CUDA_CHECK(begun);
    C10_CUDA_CHECK(ended);
    return std::make_unique<RecordedGraph>(graph, stream_, std::move(memory));
  }

 private:
  const int device_;
  const cudaStream_t stream_;
  const c10::MempoolId_t pool_ = at::cuda::graph_pool_handle();
  Event mark_, done_;
};

class TorchCuda final : public Cuda {
 public:
  int device_count() const override { return c10::cuda::device_count(); }
  std::unique_ptr<CudaQueue> make_queue(int device, bool busy_wait) override {
    const c10::cuda::CUDAGuard on(static_cast<c10::DeviceIndex>(device));
    return std::make_unique<Queue>(device, busy_wait);
  }
};

}  // namespace
}  // namespace zeta::torch_backend

zeta::torch_backend::Cuda* zeta_torch_cuda() {
  static zeta::torch_backend::TorchCuda cuda;
  return &cuda;
}
