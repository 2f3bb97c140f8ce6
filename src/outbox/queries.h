// What is read from the outbox's database through a reader's connection. Internal. The caller
// guards the connection.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "outbox/database.h"
#include "outbox/outbox.h"

namespace skerry {

Result<std::vector<Shipment>> ReadPendingShipments(Database& database,
                                                   const std::filesystem::path& segments_directory,
                                                   ShipmentPick pick, std::size_t most);
// All from one snapshot.
Result<std::vector<std::optional<RowFate>>> ReadFates(Database& database,
                                                      std::span<const RowId> rows);
Result<std::optional<HeldReceipt>> ReadNewestReceipt(Database& database);
// Fills in what the database knows; of one snapshot.
Result<OutboxFacts> ReadFacts(Database& database);

// verify.cpp: a sentence for each thing that is wrong. Walks one snapshot of `database`; `now`,
// another connection, tells what went while it did.
Result<std::vector<std::string>> VerifyOutbox(Database& database, Database& now,
                                              const std::filesystem::path& segments_directory,
                                              const PublicKey& site_key);

}  // namespace skerry
