// Reads a segment in a process of its own, after the hub has died more than once while it read it:
// was it the segment, or did somebody end the hub at that moment?
//
// Role: asked by Ingest, blocks it. The child does with the file what ingest would (LakeWriter's
// Inspect, Store and ClockSpans), into a scratch directory that is gone on return. Only its death
// counts: what it finds wrong with the content ingest finds again.
#pragma once

#include <filesystem>

#include "base/error.h"
#include "policy/record_class.h"

namespace skerry {

// `program`: runs `__read-segment SPEC`, as this executable does. `scratch` is made, and removed;
// one that was left behind there by a hub that was killed meanwhile goes first. kDataLoss when the
// child died or did not end in ten minutes, with how; other codes are troubles of this machine.
Status TryReading(const std::filesystem::path& program, const std::filesystem::path& scratch,
                  RecordClass cls, const std::filesystem::path& file);

// What the child does; its exit status.
int RunSegmentTrial(const std::filesystem::path& spec_file);

}  // namespace skerry
