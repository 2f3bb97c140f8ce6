// A shipment as an OCI artifact: what goes over the link and into bundles.
//
// artifactType kShipmentArtifact; config: the signed statement (DSSE, kStatementConfig); one layer
// of kSegmentLayer for each segment that is offered, or the empty blob where gaps alone are told
// (image-spec 1.1 wants a layer). The same shipment gives the same bytes.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "oci/artifact.h"
#include "outbox/outbox.h"

namespace skerry {

// Refers to the segment files; reads none. kNotFound when one is gone (receipted or shed by now).
Result<Artifact> MakeShipmentArtifact(const Shipment& shipment);

// "sites/<site>/outbox"
std::string ShipmentRepository(std::string_view site);

}  // namespace skerry
