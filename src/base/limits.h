// Every size, count, depth and time that input can drive has its limit here, by name.
// Units last in the name. A test hits each one; the error names it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace skerry::limits {

// Documents read from outside.
constexpr std::size_t kJsonBytes = 16U << 20U;
constexpr int kJsonDepth = 64;
constexpr std::size_t kYamlBytes = 1U << 20U;
constexpr std::size_t kManifestBytes = 4U << 20U;  // OCI distribution-spec asks for at least this
constexpr std::size_t kStatementBytes = 4U << 20U;
constexpr std::size_t kReceiptBytes = 4U << 20U;
constexpr std::size_t kModelBytes = std::size_t{2} << 30U;
// Tree ensembles that are walked by TreeRunner; larger ones are left to ONNX Runtime.
constexpr std::size_t kWalkedModelBytes = 64U << 20U;
constexpr std::size_t kWalkedNodes = std::size_t{1} << 20U;
constexpr std::size_t kCategoryCodes = 1'024;  // of a split by category that is walked

// HTTP.
constexpr std::size_t kHeaderBytes = 16U << 10U;
constexpr std::size_t kRequestBodyBytes = 64U << 20U;
constexpr std::size_t kConnections = 12'000;
constexpr std::chrono::seconds kHeaderTimeout{15};
constexpr std::chrono::seconds kIdleTimeout{75};
constexpr std::chrono::seconds kBodyStall{20};            // between two pieces of a request's body
constexpr std::uint64_t kSlowestBodyBytesPerSecond = 64;  // on average, after one stall
constexpr std::size_t kWaitingRequests = 1'024;           // for a thread of a pool
constexpr std::chrono::seconds kLingerTimeout{2};         // for a refused peer to read why
constexpr std::size_t kPathSegments = 64;                 // of a request's path
constexpr std::size_t kReplyBytes = 64U << 20U;  // of an answer that a client keeps in memory

// Tables.
constexpr std::size_t kTableColumns = 4'096;
constexpr std::size_t kFieldBytes = 1U << 20U;
constexpr std::size_t kRowsPerRequest = 100'000;
constexpr std::size_t kCategoriesPerField = 1'000;
constexpr std::size_t kPcaFeatures = 256;     // of an anomaly detector by PCA
constexpr std::size_t kClasses = 100;         // of a multiclass model
constexpr std::size_t kDerivedFeatures = 64;  // of a package
constexpr std::size_t kWindowFeatures = 512;  // of a package
constexpr std::size_t kWindowRows = 1'000;    // of an entity that a window looks back
// Of one model's windows: entities whose last rows are kept, these rows, and numbers in them.
constexpr std::size_t kWindowEntities = 100'000;
constexpr std::size_t kWindowKeptRows = 1'000'000;
constexpr std::size_t kWindowKeptNumbers = 8'000'000;
constexpr std::size_t kEntityBytes = 256;
constexpr std::size_t kWindowFileBytes = std::size_t{512} << 20U;
constexpr std::chrono::seconds kWindowSave{5};  // between two savings of these rows
constexpr int kFeatureBins = 65'536;            // XGBoost's cuts of a feature
constexpr std::size_t kFilesPerTable = 10'000;  // that one command may name
constexpr std::size_t kCsvHeaderBytes = 4U << 20U;
constexpr std::size_t kEncodedTableRows = 1'000'000;    // one binary table (codec/columns.h)
constexpr std::size_t kEncodedTableCells = 64'000'000;  // rows x columns of one

// Training.
constexpr std::size_t kBaselineRows = 100'000;  // that the logistic regression is fitted to
constexpr std::size_t kTrainingReportBytes = 16U << 20U;
constexpr int kSearchConfigurations = 256;      // of hyper-parameters
constexpr std::size_t kSliceColumns = 8;        // that slices are made by where none is asked for
constexpr std::size_t kSliceGroups = 20;        // of such a column
constexpr std::size_t kAskedSliceGroups = 100;  // of one that is asked for
constexpr std::size_t kLeastSliceRows = 30;     // smaller groups are judged together
constexpr std::size_t kPlottedRows = 1'000;     // of a scatter
constexpr std::size_t kPlottedClasses = 20;     // of a confusion matrix
constexpr std::size_t kPlottedContributions = 500;  // rows whose contributions are drawn
constexpr std::size_t kLeastContributions = 20;     // fewer would show nothing
// Leaves times depth squared, over all the rows explained: a second or so.
constexpr std::uint64_t kContributionSteps = 400'000'000;
constexpr std::uint64_t kWholeTableCells = 50'000'000;  // trained in memory; more from disk
constexpr std::size_t kDeriveNumbers = 24;   // features whose pairs are tried as derived ones
constexpr std::size_t kDeriveRows = 20'000;  // drawn at random, that they are tried on
// On Spark and from disk.
constexpr std::uint64_t kSchemaRows = 1'000'000;      // that the columns' types are chosen by
constexpr std::uint64_t kReturnedRows = 1'000'000;    // that are judged here
constexpr std::uint64_t kReturnedCells = 64'000'000;  // rows x columns of these
constexpr std::chrono::seconds kSparkPatience{60};    // without a worker
constexpr std::chrono::seconds kSparkGrace{20};       // to end after a Ctrl-C
constexpr std::size_t kSparkLineBytes = 64U << 10U;   // of a line of the log that is looked at

// Outbox.
constexpr std::size_t kCaptureQueueRows = 65'536;  // beyond it: 503 (sync), not captured (async)
constexpr std::uint64_t kSegmentRows = 20'000;
constexpr std::uint64_t kSegmentsPerShipment = 256;
constexpr std::uint64_t kShipmentBytes = 8U << 20U;  // a shipment takes no more segments beyond it
constexpr std::size_t kCommitRows = 16'384;          // rows that one group commit takes on
constexpr std::uint64_t kGapReserveBytes = std::uint64_t{1} << 20U;  // of a quota, for the gaps
constexpr std::size_t kTailRows = 1'000;                             // of `skerry outbox tail`
constexpr std::chrono::seconds kRateStep{5};       // between the samples of an outbox' rates
constexpr std::chrono::seconds kRateWindow{600};   // over which they are told
constexpr std::uint64_t kLedgerRows = 20'000'000;  // fates kept for look-ups; older are summed
constexpr std::size_t kGapsPerStatement = 4'096;
constexpr std::size_t kAnchorsPerStatement = 1'024;
constexpr std::size_t kStatementsKept = 1'000;  // covered ones, for the chain's last links
constexpr std::size_t kReceiptIntervals = 100'000;
constexpr std::size_t kReceiptStreams = 10'000;
constexpr std::size_t kStatusBytes = 4U << 20U;
constexpr std::size_t kStatusPending = 20'000;
constexpr std::size_t kStatusAlarms = 100;
constexpr std::size_t kLookupRows = 100'000;
constexpr std::size_t kShipmentsOffered = 256;  // at one time; the rest follows as receipts come
constexpr std::uint64_t kSegmentRowsMost = 500'000;

// Policy.
constexpr std::size_t kPolicyRules = 10'000;  // fields, conditions and allowed values together
constexpr std::size_t kConditionChars = 4'096;
constexpr std::size_t kConditionTerms = 256;
constexpr std::size_t kConditionDepth = 32;
constexpr std::size_t kRuleNameChars = 128;
constexpr std::size_t kIdentifierTextBytes = 64U << 10U;  // longer texts are not looked through
constexpr std::uint64_t kCheckedRows = 100'000;   // that `policy check --rows` looks through
constexpr std::size_t kPoliciesKept = 256;        // that were in force, to tell what one narrows
constexpr std::size_t kDecisionsAtOnce = 10'000;  // entries of the decision log in one batch

// S3.
constexpr int kXmlDepth = 16;                    // of an answer
constexpr std::size_t kListedObjects = 100'000;  // that a pattern is held against
constexpr std::uint64_t kFetchedBytes = std::uint64_t{256} << 30U;  // for one command
constexpr int kS3Attempts = 4;  // in a row without an answer or a byte

// OCI.
constexpr std::size_t kUploadChunkBytes = 1U << 20U;
constexpr std::size_t kSlowLinkChunkBytes = 128U << 10U;  // a site's default: 16 s at 64 kbit/s
constexpr std::size_t kLeastUploadChunkBytes = 4U << 10U;
constexpr std::size_t kLayersPerManifest = 1'024;
constexpr std::uint64_t kBlobBytes = std::uint64_t{16} << 30U;
constexpr std::size_t kRepositoryNameBytes = 255;
constexpr std::size_t kOpenUploads = 10'000;
constexpr std::chrono::hours kAbandonedUploadAge{7 * 24};
constexpr std::size_t kTagsPerPage = 1'000;
constexpr std::size_t kTagsListed = 1'000'000;
constexpr std::size_t kModelPackFiles = 256;
constexpr std::size_t kSignatureBundleBytes = 1U << 20U;

// Bundles.
constexpr std::size_t kBundleIdBytes = 128;
constexpr std::size_t kBundleEntries = 100'000;
constexpr std::size_t kIndexBytes = 32U << 20U;

// Models and scoring.
constexpr std::size_t kTensorElements = std::size_t{64} << 20U;
constexpr std::size_t kTensorRank = 16;
constexpr std::size_t kTensorsPerRequest = 4'096;
constexpr std::size_t kSchemaBytes = 4U << 20U;
constexpr std::size_t kReferenceBytes = 16U << 20U;
constexpr std::size_t kSmokeMemoryBytes = std::size_t{2} << 30U;
constexpr std::chrono::seconds kSmokeCpu{20};
constexpr std::chrono::milliseconds kSmokeWall{30'000};
constexpr std::size_t kRequestIdBytes = 1'024;
constexpr std::size_t kStreamedRowBytes = 4U << 20U;      // one row of CSV or NDJSON
constexpr std::size_t kStreamedChunkRows = 1'024;         // scored, captured and answered together
constexpr std::size_t kExplainedModelBytes = 64U << 20U;  // of a graph whose trees are read
constexpr std::size_t kExplainedDepth = 64;               // of a tree
constexpr std::size_t kExplainedRows = 1'000;             // in one request that is read whole
constexpr std::size_t kApiKeys = 256;      // of one server; each request is compared with all
constexpr std::size_t kApiKeyBytes = 256;  // of a key that a client shows
constexpr std::size_t kApiKeyFileBytes = 256U << 10U;

// gRPC.
constexpr std::size_t kRpcMessageBytes = 64U << 20U;  // of a request
constexpr int kRpcStreams = 1'024;                    // calls under way on one connection

// Keys and signatures.
constexpr std::size_t kKeyFileBytes = 64U << 10U;
constexpr std::size_t kCertificateBytes = 64U << 10U;  // a PEM text, chain or request
constexpr std::size_t kDsseSignatures = 16;            // in one envelope

// Trust.
constexpr std::size_t kJoinDocumentBytes = 1U << 20U;  // token, join request, join grant
constexpr std::size_t kDesiredStateBytes = 1U << 20U;
constexpr std::size_t kTrustedKeys = 64;           // keys listed in one grant or desired state
constexpr std::size_t kSignaturesPerPackage = 32;  // cosign bundles looked at for one manifest

// Exchange.
constexpr std::chrono::seconds kRefusedRetry{60};  // a refused package is asked for again
constexpr int kLoadAttempts = 3;                   // loads of a package that ended the process
constexpr std::chrono::milliseconds kBackoffLeast{500};
constexpr std::chrono::milliseconds kBackoffMost{std::chrono::minutes{5}};
constexpr std::chrono::minutes kRefusedShipmentRetry{10};
constexpr int kShipmentCommitAttempts = 3;            // in a row without an answer: others go first
constexpr std::size_t kSmallReplyBytes = 64U << 10U;  // of routes that answer with a few members
constexpr std::size_t kUploadStatesBytes = 1U << 20U;

// Site.
constexpr std::size_t kRowsPerLookup = 100'000;
constexpr std::chrono::seconds kSiteDrain{10};  // for requests under way when a site stops

// Hub.
constexpr std::uint64_t kReadAttempts = 2;  // deaths while reading a segment, then it is set aside
constexpr std::size_t kLabelBytes = 256;
constexpr std::size_t kLabelsPerRequest = 100'000;
constexpr std::uint64_t kListItems = 1'000;  // of any list that the API gives
constexpr std::size_t kRunLogTailBytes = 16U << 10U;
constexpr std::size_t kQueuedRuns = 16;
constexpr std::uint64_t kRetrainLabels = 5'000'000;

}  // namespace skerry::limits
