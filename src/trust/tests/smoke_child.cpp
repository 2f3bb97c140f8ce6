// The program that package_gate_test starts for the smoke run, in skerry's place.
#include <cstring>

#include "model/smoke.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "__smoke") == 0) return skerry::SmokeMain(argv[2]);
  return 2;
}
