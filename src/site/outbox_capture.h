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
  void Capture(std::shared_ptr<const RowBatch> batch, std::function<void(Status)> done) override {
    if (journal_ != nullptr) journal_->Append(batch);
    std::shared_ptr<const CompiledPolicy> policy = active_->PolicyFor(batch->package.get());
    outbox_->Submit(std::move(batch), std::move(policy), std::move(done));
  }
  void CaptureUnwaited(const std::shared_ptr<const RowBatch>& batch, Counter* lost) override {
    if (journal_ != nullptr) journal_->Append(batch);
    outbox_->Gather(batch, active_->PolicyFor(batch->package.get()), lost);
  }

 private:
  Outbox* outbox_;
  const ActiveModel* active_;
  Journal* journal_;
};

}  // namespace skerry
