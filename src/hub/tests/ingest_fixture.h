// Ingest on a store, a lake and a registry's blobs of its own, and a site that ships to it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "hub/ingest.h"
#include "hub/tests/fake_site.h"
#include "oci/file_blob_store.h"
#include "outbox/receipt.h"
#include "storage/file.h"

namespace skerry {

class IngestTest : public testing::Test {
 protected:
  IngestTest() {
    Must(CreateDirectories(quarantine_));
    MakeIngest();
    AddKey(site_.name(), site_.key());
  }

  void MakeIngest(const std::filesystem::path& trial_program = {}) {
    ingest_ = std::make_unique<Ingest>(IngestParts{.store = store_.get(),
                                                   .lake = lake_.get(),
                                                   .clocks = nullptr,
                                                   .blobs = &blobs_,
                                                   .quarantine = quarantine_,
                                                   .trial_program = trial_program,
                                                   .hub_key = hub_key_,
                                                   .clock = &clock_,
                                                   .metrics = &metrics_});
  }
  void AddKey(const std::string& site, const PrivateKey& key) {
    Must(store_->Write([&](Database& db) -> Status {
      SiteDirectory sites(db);
      SKERRY_RETURN_IF_ERROR(sites.AddSite(site, 1));
      return sites.AddKey(site, key.public_key(), "certificate", 1);
    }));
  }
  // As the registry does before it calls the hook.
  ArrivedShipment Upload(const Artifact& artifact) {
    for (const BlobSource& blob : artifact.blobs)
      Must(blobs_.Put(Must(blob.Read(limits::kBlobBytes)), blob.descriptor.digest));
    return {.site = site_.name(),
            .manifest = Must(Manifest::Parse(artifact.manifest_bytes)),
            .digest = artifact.manifest.digest,
            .road = Road::kLink};
  }
  IngestOutcome Take(const Artifact& artifact) { return Must(ingest_->Take(Upload(artifact))); }
  Receipt ReceiptNow() {
    const PublicKey key = hub_key_.public_key();
    return Must(
        VerifyReceipt(Must(ingest_->MakeReceipt(site_.name())).envelope, std::span(&key, 1)));
  }
  std::string Received(RecordClass cls = RecordClass::kSample) {
    const Receipt receipt = ReceiptNow();
    for (const StreamReceipt& stream : receipt.streams)
      if (stream.cls == cls && stream.epoch == site_.epoch())
        return stream.received.ToJson().dump();
    return "none";
  }
  // (rows, distinct row ids) of the files that the ledger names.
  std::pair<std::int64_t, std::int64_t> RowsInLake(RecordClass cls = RecordClass::kSample) {
    const auto files =
        Must(store_->Read([&](Database& db) { return Ledger(db).FilesOfClass(cls, "", "", 0); }));
    LakeReader reader(directory_.path() / "lake");
    const Table table =
        Must(reader.Query("SELECT count(*), count(DISTINCT (instance, n)) FROM {files}", files));
    if (table.rows() == 0) return {0, 0};
    return {table.columns[0].ints[0], table.columns[1].ints[0]};
  }
  StreamHoldings Stream() {
    return Must(store_->Read([&](Database& db) { return Ledger(db).Streams(site_.name()); })).at(0);
  }
  std::vector<SetAside> SetAsides() {
    return Must(
        store_->Read([&](Database& db) { return Ledger(db).SetAsides(site_.name(), 100); }));
  }

  TemporaryDirectory directory_ = Must(TemporaryDirectory::Create("hub-ingest"));
  FakeClock clock_{1'790'000'000'000'000};
  MetricRegistry metrics_;
  PrivateKey hub_key_ = Must(PrivateKey::Generate());
  std::filesystem::path quarantine_ = directory_.path() / "quarantine";
  std::unique_ptr<HubStore> store_ = Must(HubStore::Open(directory_.path() / "hub.db"));
  std::unique_ptr<LakeWriter> lake_ = Must(LakeWriter::Open(directory_.path() / "lake"));
  FileBlobStore blobs_ = Must(FileBlobStore::Open(directory_.path() / "registry"));
  std::unique_ptr<Ingest> ingest_;
  FakeSite site_{"north", directory_.path() / "site"};
};

}  // namespace skerry
