// Ctrl-C (or SIGTERM) ends a command after the work in hand, so that it can clean up; the second
// one ends it at once.
#pragma once

namespace skerry {

// Once, on the main thread, before the work.
void CatchInterrupts();
// Whether one came. Any thread.
bool Interrupted();

}  // namespace skerry
