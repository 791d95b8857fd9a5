// The JSON of answers, which differs between chat and plain completions.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "apps/zeta-server/openai/text_piece.h"

namespace zeta::server::openai {

// All that was generated for one choice.
struct Choice {
  std::string text;
  boost::json::array logprobs;
  std::string finish_reason;
};

class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  virtual std::string id_prefix() const = 0;     // "cmpl-"
  virtual std::string object() const = 0;        // value of "object" in a whole answer
  virtual std::string chunk_object() const = 0;  // and in a streamed one
  // The member of "choices" for a whole choice and for a piece; both without "index".
  virtual boost::json::object whole(const Choice& choice, bool logprobs) const = 0;
  virtual boost::json::object piece(const TextPiece& piece, bool first, bool logprobs) = 0;
};

// One instance for each choice of an answer, as some fields depend on what went before.
std::unique_ptr<AnswerFormat> make_completion_format();
std::unique_ptr<AnswerFormat> make_chat_format();

}  // namespace zeta::server::openai
