#include "serve/capture.h"

namespace skerry {

std::string_view CaptureModeName(CaptureMode mode) {
  switch (mode) {
    case CaptureMode::kOff: return "off";
    case CaptureMode::kAsync: return "async";
    case CaptureMode::kSync: return "sync";
    case CaptureMode::kTry: return "try";
  }
  return "off";
}

Result<CaptureMode> ParseCaptureMode(std::string_view name) {
  for (const CaptureMode mode :
       {CaptureMode::kOff, CaptureMode::kAsync, CaptureMode::kSync, CaptureMode::kTry})
    if (name == CaptureModeName(mode)) return mode;
  return Fail(ErrorCode::kInvalidArgument, "capture is \"{}\", expected off, async, sync or try",
              name);
}

}  // namespace skerry
