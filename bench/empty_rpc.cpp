// The floor under gRPC scoring: ModelInfer on the same library, with a handler that does nothing.
// Prints where it listens.
#include <grpcpp/grpcpp.h>

#include <cstdio>

#include "open_inference.grpc.pb.h"

namespace {

class EmptyService final : public inference::GRPCInferenceService::CallbackService {
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const inference::ModelInferRequest*,
                                       inference::ModelInferResponse*) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

}  // namespace

int main() {
  EmptyService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::printf("http://127.0.0.1:%d\n", port);
  std::fflush(stdout);
  server->Wait();
}
