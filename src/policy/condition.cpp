#include "policy/condition.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/limits.h"

namespace skerry {
namespace {

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameChar(char c) { return IsNameStart(c) || IsDigit(c); }
bool IsNumberStart(char c) { return IsDigit(c) || c == '-' || c == '+' || c == '.'; }

}  // namespace

// Recursive descent over the text, one token ahead. Depth and the number of terms are bounded.
class ConditionParser {
 public:
  explicit ConditionParser(std::string_view text) : text_(text) {}

  Result<Condition> Parse() {
    if (text_.size() > limits::kConditionChars)
      return Fail(ErrorCode::kTooLarge, "a condition of {} characters, the limit is {}",
                  text_.size(), limits::kConditionChars);
    condition_.text_ = text_;
    SKERRY_RETURN_IF_ERROR(Next());
    SKERRY_RETURN_IF_ERROR(ParseChain("or", Condition::Op::kOr));
    if (kind_ != Kind::kEnd) return Unexpected("'and', 'or' or the end");
    return std::move(condition_);
  }

 private:
  enum class Kind { kEnd, kName, kNumber, kText, kOperator, kOpen, kClose };

  tl::unexpected<Error> Unexpected(std::string_view wanted) const {
    const std::string_view found = kind_ == Kind::kEnd ? "the end" : token_;
    return Fail(ErrorCode::kInvalidArgument,
                "at character {} of \"{}\": expected {}, found {}; write for example \"torque_nm > "
                "60 and not type == 'L'\"",
                start_ + 1, text_, wanted, found);
  }

  Status Next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n'))
      ++at_;
    start_ = at_;
    if (at_ == text_.size()) {
      kind_ = Kind::kEnd;
      token_ = {};
      return {};
    }
    const char c = text_[at_];
    if (IsNameStart(c)) return Take(Kind::kName, IsNameChar);
    if (IsNumberStart(c))
      return Take(Kind::kNumber, [](char d) { return IsNumberStart(d) || IsNameChar(d); });
    if (c == '\'' || c == '"') return TakeText(c);
    if (c == '(' || c == ')') {
      kind_ = c == '(' ? Kind::kOpen : Kind::kClose;
      token_ = text_.substr(at_++, 1);
      return {};
    }
    return Take(Kind::kOperator,
                [](char d) { return d == '=' || d == '!' || d == '<' || d == '>'; });
  }

  Status Take(Kind kind, bool (*belongs)(char)) {
    kind_ = kind;
    while (at_ < text_.size() && belongs(text_[at_])) ++at_;
    token_ = text_.substr(start_, std::max<std::size_t>(at_ - start_, 1));
    if (at_ == start_) return Unexpected("a name, a value or an operator");
    return {};
  }

  Status TakeText(char quote) {
    kind_ = Kind::kText;
    const std::size_t end = text_.find(quote, at_ + 1);
    token_ = text_.substr(start_, end == std::string_view::npos ? end : end - start_ + 1);
    if (end == std::string_view::npos) return Unexpected("a closing quote");
    at_ = end + 1;
    return {};
  }

  bool IsWord(std::string_view word) const { return kind_ == Kind::kName && token_ == word; }

  // condition and conjunction: terms joined by `word`, leaving one node at the end of nodes_.
  Status ParseChain(std::string_view word, Condition::Op op) {
    SKERRY_RETURN_IF_ERROR(ParseBelow(op));
    while (IsWord(word)) {
      const std::size_t left = condition_.nodes_.size() - 1;
      SKERRY_RETURN_IF_ERROR(Next());
      SKERRY_RETURN_IF_ERROR(ParseBelow(op));
      condition_.nodes_.push_back({op, left, condition_.nodes_.size() - 1});
    }
    return {};
  }
  Status ParseBelow(Condition::Op op) {
    return op == Condition::Op::kOr ? ParseChain("and", Condition::Op::kAnd) : ParseTerm();
  }

  Status ParseTerm() {
    if (++depth_ > limits::kConditionDepth)
      return Fail(ErrorCode::kTooLarge, "a condition nested deeper than {} levels",
                  limits::kConditionDepth);
    SKERRY_RETURN_IF_ERROR(ParseTermHere());
    --depth_;
    return {};
  }

  Status ParseTermHere() {
    if (IsWord("not")) {
      SKERRY_RETURN_IF_ERROR(Next());
      SKERRY_RETURN_IF_ERROR(ParseTerm());
      condition_.nodes_.push_back({Condition::Op::kNot, condition_.nodes_.size() - 1});
      return {};
    }
    if (kind_ == Kind::kOpen) {
      SKERRY_RETURN_IF_ERROR(Next());
      SKERRY_RETURN_IF_ERROR(ParseChain("or", Condition::Op::kOr));
      if (kind_ != Kind::kClose) return Unexpected("')'");
      return Next();
    }
    if (kind_ != Kind::kName || IsReserved()) return Unexpected("a field name, 'not' or '('");
    return ParseComparison();
  }

  bool IsReserved() const {
    constexpr std::array<std::string_view, 5> kWords = {"and", "or", "not", "true", "false"};
    return std::find(kWords.begin(), kWords.end(), token_) != kWords.end();
  }

  Status ParseComparison() {
    if (++terms_ > limits::kConditionTerms)
      return Fail(ErrorCode::kTooLarge, "a condition of more than {} comparisons",
                  limits::kConditionTerms);
    const std::size_t name = NameIndex();
    SKERRY_RETURN_IF_ERROR(Next());
    if (kind_ != Kind::kOperator) {
      condition_.nodes_.push_back({Condition::Op::kTrue, name});
      condition_.uses_.push_back({.name = name, .alone = true});
      return {};
    }
    SKERRY_ASSIGN_OR_RETURN(const Condition::Op op, ParseOperator());
    SKERRY_RETURN_IF_ERROR(Next());
    Condition::Node node{op, name};
    SKERRY_RETURN_IF_ERROR(ParseValue(node));
    condition_.uses_.push_back({.name = name,
                                .ordered = op != Condition::Op::kEq && op != Condition::Op::kNe,
                                .text = std::holds_alternative<std::string>(node.value)});
    condition_.nodes_.push_back(std::move(node));
    return Next();
  }

  std::size_t NameIndex() {
    auto& names = condition_.names_;
    const auto found = std::find(names.begin(), names.end(), token_);
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
    names.emplace_back(token_);
    return names.size() - 1;
  }

  Result<Condition::Op> ParseOperator() const {
    using Op = Condition::Op;
    constexpr std::array<std::pair<std::string_view, Op>, 6> kOperators = {{{"==", Op::kEq},
                                                                            {"!=", Op::kNe},
                                                                            {"<", Op::kLt},
                                                                            {"<=", Op::kLe},
                                                                            {">", Op::kGt},
                                                                            {">=", Op::kGe}}};
    for (const auto& [text, op] : kOperators)
      if (token_ == text) return op;
    return Unexpected(token_ == "=" ? "'==' (equality has two signs)" : "== != < <= > or >=");
  }

  Status ParseValue(Condition::Node& node) {
    if (kind_ == Kind::kText) {
      node.value = std::string(token_.substr(1, token_.size() - 2));
      return {};
    }
    if (IsWord("true") || IsWord("false")) {
      node.value = token_ == "true";
      return {};
    }
    if (kind_ != Kind::kNumber) return Unexpected("a number, a quoted text, true or false");
    const char* first = token_.data() + (token_.front() == '+' ? 1 : 0);
    const char* last = token_.data() + token_.size();
    double number = 0;
    const auto [stop, status] = std::from_chars(first, last, number);
    if (status != std::errc() || stop != last || !std::isfinite(number))
      return Unexpected("a number");
    node.value = number;
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t start_ = 0;  // of the token ahead
  Kind kind_ = Kind::kEnd;
  std::string_view token_;
  std::size_t depth_ = 0;
  std::size_t terms_ = 0;
  Condition condition_;
};

namespace {

template <typename T>
int Order(const T& a, const T& b) {
  if (a < b) return -1;
  return b < a ? 1 : 0;
}

Truth TruthOf(bool value) { return value ? Truth::kTrue : Truth::kFalse; }

Truth Not(Truth truth) { return static_cast<Truth>(2 - static_cast<int>(truth)); }

}  // namespace

Result<Condition> Condition::Parse(std::string_view text) { return ConditionParser(text).Parse(); }

Truth Condition::Evaluate(const ConditionInput& input) const {
  return nodes_.empty() ? Truth::kFalse : EvaluateNode(nodes_.back(), input);
}

Truth Condition::EvaluateNode(const Node& node, const ConditionInput& input) const {
  if (node.op == Op::kNot) return Not(EvaluateNode(nodes_[node.left], input));
  if (node.op != Op::kAnd && node.op != Op::kOr) return Compare(node, input.Value(node.left));
  const Truth decided = node.op == Op::kAnd ? Truth::kFalse : Truth::kTrue;
  const Truth left = EvaluateNode(nodes_[node.left], input);
  if (left == decided) return left;
  const Truth right = EvaluateNode(nodes_[node.right], input);
  return node.op == Op::kAnd ? std::min(left, right) : std::max(left, right);
}

Truth Condition::Compare(const Node& node, const ConditionValue& found) {
  if (std::holds_alternative<ConditionUnknown>(found)) return Truth::kUnknown;
  if (node.op == Op::kTrue) {
    const bool* truth = std::get_if<bool>(&found);
    return TruthOf(truth != nullptr && *truth);
  }
  // How the smallest and the largest possible value stand to the one compared with.
  int low = 0;
  int high = 0;
  if (const double* number = std::get_if<double>(&found)) {
    const double* other = std::get_if<double>(&node.value);
    if (other == nullptr || std::isnan(*number)) return Truth::kFalse;
    low = high = Order(*number, *other);
  } else if (const auto* range = std::get_if<ConditionRange>(&found)) {
    const double* other = std::get_if<double>(&node.value);
    if (other == nullptr) return Truth::kFalse;
    low = Order(range->low, *other);
    high = Order(range->high, *other);
  } else if (const auto* text = std::get_if<std::string_view>(&found)) {
    const std::string* other = std::get_if<std::string>(&node.value);
    if (other == nullptr) return Truth::kFalse;
    low = high = Order(*text, std::string_view(*other));
  } else if (const bool* truth = std::get_if<bool>(&found)) {
    const bool* other = std::get_if<bool>(&node.value);
    if (other == nullptr) return Truth::kFalse;
    low = high = Order(*truth, *other);
  } else {
    return Truth::kFalse;
  }
  const auto both = [](bool at_low, bool at_high) {
    return at_low == at_high ? TruthOf(at_low) : Truth::kUnknown;
  };
  Truth equal = Truth::kUnknown;  // the other value is inside the range
  if (low > 0 || high < 0) equal = Truth::kFalse;
  if (low == 0 && high == 0) equal = Truth::kTrue;
  switch (node.op) {
    case Op::kEq: return equal;
    case Op::kNe: return Not(equal);
    case Op::kLt: return both(low < 0, high < 0);
    case Op::kLe: return both(low <= 0, high <= 0);
    case Op::kGt: return both(low > 0, high > 0);
    default: return both(low >= 0, high >= 0);
  }
}

}  // namespace skerry
