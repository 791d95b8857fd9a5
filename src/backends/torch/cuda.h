// What needs CUDA's own headers and libraries. It stands in libzeta_torch_cuda.so, which is opened when the
// first model asks for a GPU, so that the backend itself runs where there is neither CUDA nor a GPU.
#pragma once

#include <c10/core/Stream.h>

#include <chrono>
#include <functional>
#include <memory>

namespace zeta::torch_backend {

// Recorded work. Replays it, with the memory that it was recorded with, on the stream of its queue.
class CudaGraph {
 public:
  virtual ~CudaGraph() = default;
  virtual void replay() = 0;
};

// A stream that nobody else uses meanwhile, and the wait for it. For one thread; a graph must not outlive its
// queue. Whatever fails throws c10::Error.
class CudaQueue {
 public:
  virtual ~CudaQueue() = default;
  virtual c10::Stream stream() const = 0;
  // What is put here from now on waits for what `other` has been given.
  virtual void follow(CudaQueue& other) = 0;
  virtual void mark() = 0;
  // Blocks until all is done.
  virtual void wait() = 0;
  // From the mark to the end of the last wait, by the GPU's clock.
  virtual std::chrono::nanoseconds since_mark() = 0;
  // Runs `work` with what it puts on the stream recorded rather than done, in thread-local capture mode:
  // other threads go on. Its memory comes from a pool that this queue's graphs share, so that what one has
  // computed may be overwritten by the next. When `work` throws or does what cannot be recorded, nothing is
  // left behind and the exception comes out.
  virtual std::unique_ptr<CudaGraph> record(const std::function<void()>& work) = 0;
};

class Cuda {
 public:
  virtual ~Cuda() = default;
  virtual int device_count() const = 0;
  // `busy_wait`: waiting burns a core of the CPU and ends sooner. Thread-safe.
  virtual std::unique_ptr<CudaQueue> make_queue(int device, bool busy_wait) = 0;
};

}  // namespace zeta::torch_backend

// The one symbol of libzeta_torch_cuda.so.
extern "C" __attribute__((visibility("default"))) zeta::torch_backend::Cuda* zeta_torch_cuda();
