#include "launcher/launcher.h"

int main(int argc, char** argv) {
  const auto options = skerry::ParseLauncherOptions(argc, argv);
  if (!options) return 2;
  return skerry::Launcher(*options).Run();
}
