// The site's end of scoring's capture (serve/capture.h). Internal.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "outbox/outbox.h"
#include "serve/capture.h"
#include "site/active_model.h"
#include "site/journal.h"

namespace skerry {

// Thread-safe; what it is given is borrowed. Hands scored rows to the outbox together with the
// policy of the package that scored them, and to the journal where there is one.
class OutboxCapture final : public CaptureSink {
 public:
  OutboxCapture(Outbox& outbox, const ActiveModel& active, Journal* journal)
      : outbox_(&outbox), active_(&active), journal_(journal) {}
  void Capture(std::shared_ptr<const RowBatch> batch, CaptureWait wait,
               std::function<void(Status)> done) override {
    std::shared_ptr<const CompiledPolicy> policy = active_->PolicyFor(batch->package.get());
    if (journal_ != nullptr) journal_->Append(batch);
    const CommitWhen when = wait == CaptureWait::kNobody ? CommitWhen::kGathered : CommitWhen::kNow;
    outbox_->Submit(std::move(batch), std::move(policy), std::move(done), when);
  }

 private:
  Outbox* outbox_;
  const ActiveModel* active_;
  Journal* journal_;
};

}  // namespace skerry
