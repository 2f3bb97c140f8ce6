// Ctrl-C (or SIGTERM) ends a command after the work in hand, so that it can clean up; the second
// one ends it at once.
#pragma once

namespace skerry {

// What a second one does. A hub that is killed tells its child once for each of its threads.
enum class SecondInterrupt { kEndsAtOnce, kIsIgnored };

// Once, on the main thread, before the work.
void CatchInterrupts(SecondInterrupt second = SecondInterrupt::kEndsAtOnce);
// Whether one came. Any thread.
bool Interrupted();

}  // namespace skerry
