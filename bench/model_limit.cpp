// What the machine can do with a model and no server: a thread a core runs one ONNX Runtime
// session, single-threaded as the server's, on one fixed input of batch 1 for SECONDS. Prints runs
// a second.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: model_limit MODEL.onnx SECONDS\n"), 2;
  Ort::Env env;
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(env, argv[1], options);
  Ort::AllocatorWithDefaultOptions allocator;
  const auto input_name = session.GetInputNameAllocated(0, allocator);
  const auto output_name = session.GetOutputNameAllocated(session.GetOutputCount() - 1, allocator);
  std::vector<std::int64_t> shape =
      session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
  std::size_t count = 1;
  for (auto& n : shape) count *= static_cast<std::size_t>(n = std::max<std::int64_t>(1, n));

  std::atomic<bool> over = false;
  std::atomic<long> runs = 0;
  const auto run = [&] {
    std::vector<float> data(count, 0.5F);
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const Ort::Value input =
        Ort::Value::CreateTensor<float>(memory, data.data(), count, shape.data(), shape.size());
    const char* inputs[] = {input_name.get()};
    const char* outputs[] = {output_name.get()};
    while (!over) {
      session.Run(Ort::RunOptions(), inputs, &input, 1, outputs, 1);
      ++runs;
    }
  };
  std::vector<std::jthread> threads;
  const auto start = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i)
    threads.emplace_back(run);
  std::this_thread::sleep_for(std::chrono::duration<double>(std::atof(argv[2])));
  over = true;
  threads.clear();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%.1f\n", static_cast<double>(runs) / took.count());
}
