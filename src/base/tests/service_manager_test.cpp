#include "base/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace skerry {
namespace {

// The manager's side of the socket, with a name that no file has.
class ServiceManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // Bound without a name, the kernel gives an abstract one.
    ASSERT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
    socklen_t size = sizeof(address);
    ASSERT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    name_ = "@" + std::string(address.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
  }
  void TearDown() override {
    close(fd_);
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
  std::string Received() const {
    std::array<char, 100> text{};
    const ssize_t bytes = recv(fd_, text.data(), text.size(), MSG_DONTWAIT);
    return bytes < 0 ? "nothing" : std::string(text.data(), static_cast<std::size_t>(bytes));
  }

  int fd_ = -1;
  std::string name_;
};

TEST_F(ServiceManagerTest, TellsTheSocketThatTheEnvironmentNames) {
  setenv("NOTIFY_SOCKET", name_.c_str(), 1);
  ASSERT_TRUE(ServiceManager().Tell("READY=1"));
  EXPECT_EQ(Received(), "READY=1");
  EXPECT_EQ(Received(), "nothing");
}

TEST_F(ServiceManagerTest, WithoutASocketNothingIsToldAndNothingIsWrong) {
  EXPECT_TRUE(ServiceManager().Tell("READY=1"));
  EXPECT_EQ(Received(), "nothing");
  EXPECT_EQ(ServiceManager().watchdog().count(), 0);
}

TEST_F(ServiceManagerTest, ASocketThatIsNoneIsAnError) {
  for (const std::string& wrong : {std::string("relative"), "/" + std::string(200, 'x')}) {
    setenv("NOTIFY_SOCKET", wrong.c_str(), 1);
    const Status told = ServiceManager().Tell("READY=1");
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().code(), ErrorCode::kInvalidArgument);
  }
  setenv("NOTIFY_SOCKET", "/nowhere/notify", 1);
  EXPECT_EQ(ServiceManager().Tell("READY=1").error().code(), ErrorCode::kUnavailable);
}

TEST_F(ServiceManagerTest, TheWatchdogIsForTheProcessThatIsNamed) {
  setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(ServiceManager().watchdog(), std::chrono::seconds(30));
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  EXPECT_EQ(ServiceManager().watchdog(), std::chrono::seconds(30));
  setenv("WATCHDOG_PID", std::to_string(getpid() + 1).c_str(), 1);
  EXPECT_EQ(ServiceManager().watchdog().count(), 0);
  unsetenv("WATCHDOG_PID");
  setenv("WATCHDOG_USEC", "soon", 1);
  EXPECT_EQ(ServiceManager().watchdog().count(), 0);
}

}  // namespace
}  // namespace skerry
