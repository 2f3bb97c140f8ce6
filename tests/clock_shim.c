// A library for LD_PRELOAD that gives a process a wrong clock: SKERRY_CLOCK_FILE names a file of two numbers, the seconds that UTC is off and
// whether the kernel calls it synchronized (1) or not (0). It is read at every call, so a running process sees its clock step.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>

static void Read(long long *off_s, int *synced) {
  *off_s = 0;
  *synced = 0;
  const char *path = getenv("SKERRY_CLOCK_FILE");
  FILE *file = path == NULL ? NULL : fopen(path, "re");
  if (file == NULL) return;
  if (fscanf(file, "%lld %d", off_s, synced) != 2) abort();
  fclose(file);
}

int clock_gettime(clockid_t id, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (real == NULL) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  const int answer = real(id, now);
  if (id != CLOCK_REALTIME || answer != 0) return answer;
  long long off_s;
  int synced;
  Read(&off_s, &synced);
  now->tv_sec += off_s;
  return 0;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != NULL) *into = now.tv_sec;
  return now.tv_sec;
}

int adjtimex(struct timex *state) {
  long long off_s;
  int synced;
  Read(&off_s, &synced);
  state->status = synced ? 0 : STA_UNSYNC;
  return synced ? TIME_OK : TIME_ERROR;
}
