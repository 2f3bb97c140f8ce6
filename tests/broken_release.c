/* A program that is a release of skerry as far as a site can ask it, and then is not one: what tests/upgrade_test.py sends to sites.
   FACTS: what `version --json` prints. HOW: what `site` does, see below. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void tell(const char *state) {
  const char *name = getenv("NOTIFY_SOCKET");
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (name == NULL || fd < 0 || strlen(name) >= sizeof(to.sun_path)) exit(9);
  memcpy(to.sun_path, name, strlen(name));
  if (name[0] == '@') to.sun_path[0] = '\0';
  if (sendto(fd, state, strlen(state), 0, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0) exit(9);
  close(fd);
}

int main(int argc, char **argv) {
  const char *how = HOW;
  if (argc > 1 && strcmp(argv[1], "version") == 0) return puts(FACTS) < 0;
  if (argc > 1 && strcmp(argv[1], "health") == 0) {
    if (strcmp(how, "does-not-score") != 0) return 0;
    fputs("skerry health: scoring with demo: no such operator\n", stderr);
    return 1;
  }
  if (strcmp(how, "exits") == 0) return 3;
  if (strcmp(how, "never-ready") == 0) for (;;) pause();
  tell("READY=1");
  if (strcmp(how, "crashes-later") == 0) {
    usleep(300000);
    abort();
  }
  if (strcmp(how, "hangs") == 0) for (;;) pause();
  for (;;) {
    tell("WATCHDOG=1");
    usleep(200000);
  }
}
