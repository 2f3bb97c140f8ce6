// The table of a build without the app.
#include "hub/web_assets.h"

namespace skerry {

std::span<const WebAsset> WebAssets() { return {}; }

}  // namespace skerry
