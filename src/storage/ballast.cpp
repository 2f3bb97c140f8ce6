#include "storage/ballast.h"

#include <fcntl.h>
#include <unistd.h>

#include "storage/file.h"

namespace skerry {

void Ballast::Keep() {
  if (ReadFileState(file_)) return;
  const auto free = FreeBytes(file_.parent_path());
  if (!free || *free < 2 * bytes_) return;
  const int fd = open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool made = posix_fallocate(fd, 0, static_cast<off_t>(bytes_)) == 0;
  close(fd);
  if (!made) unlink(file_.c_str());
}

bool Ballast::Drop() { return unlink(file_.c_str()) == 0; }

}  // namespace skerry
