// SPDX-License-Identifier: MIT
// A message taken apart while it streams by: headers (a folded one is one header), parts, lines of
// bodies. Fed with content as it is stored, in pieces of any size: what comes out does not depend
// on how the pieces were cut. Whatever comes in goes out: a sink that writes down everything it is
// given has the message again. Pure; time is linear in the bytes, memory is bounded by Limits.
//
//   M1  at most Limits::header bytes of one header are held (and a line more), Limits::line bytes
//   of
//       a line, and Limits::nesting + 2 boundaries of Limits::boundary bytes
//   M2  a boundary counts at the front of a line only, the innermost part's first; what follows it
//       on its line is ignored (RFC 2046 section 5.1.1; the boundary may have been cut)
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "mime/content_type.hpp"
#include "mime/header_name.hpp"

namespace postrider::mime {

struct Limits {
  std::size_t header = 102400;
  std::size_t nesting = 100;
  std::size_t boundary = 2048;
  std::size_t line = 2048;
};

enum class Where : std::uint8_t {
  message, // header of the message itself
  part,    // behind a boundary
  nested,  // of a message in a message
};

// What the header of the current part has said so far.
struct Entity {
  ContentType type{.type = Type::text};
  Domain domain = Domain::seven_bit;
};

// A line or, of a long one, a piece of it, without its line end.
struct Line {
  std::string_view text;
  bool begins = true; // with `text`
  bool ends = true;
};

struct Header {
  Where where = Where::message;
  FieldInfo field;
  std::string_view text; // "Name: value"; its lines stand between line feeds
  std::size_t name_length = 0;
  bool ends = true;  // the last line is complete
  bool whole = true; // false: more() follows

  std::string_view name() const { return text.substr(0, name_length); }
  std::string_view value() const { return text.substr(text.find(':', name_length) + 1); }
};

enum class HeaderEnd : std::uint8_t { empty_line, other_line, end_of_content };

class Sink {
 public:
  virtual ~Sink() = default;
  virtual void header(const Header& header, const Entity& entity) = 0;
  // What the last header has beyond Limits::header.
  virtual void more(const Line& line) = 0;
  // A block of headers is over. The empty line comes as a line of the body.
  virtual void header_end(Where where, const Entity& entity, HeaderEnd how) = 0;
  // Boundaries and the empty line behind a header are lines of the body as well.
  virtual void body(const Line& line, const Entity& entity) = 0;
};

class Parser {
 public:
  enum class Depth : std::uint8_t {
    header_only, // all behind the first header is body
    parts,
    encodable, // parts; but a message/global that is not 7bit is one, to be encoded as a whole
  };
  Parser(const Limits& limits, Depth depth, Sink& sink);

  void feed(ByteView content);
  // A last line without line end is given out as if it had one.
  void finish();

  // A multipart was nested deeper than Limits::nesting: its parts were not found.
  bool too_deep() const { return too_deep_; }
  // There was a multipart/signed.
  bool saw_signed() const { return saw_signed_; }

 private:
  struct Level {
    std::string boundary;
    bool digest = false;
  };
  void line(std::string_view text, bool ends);
  void header_line(const Line& line);
  void body_line(const Line& line);
  void give_header(bool whole);
  void enter_header(Where where, bool digest);
  bool find_boundary(std::string_view text);

  const Limits limits_;
  const Depth depth_;
  Sink& sink_;
  std::string pending_; // the beginning of a line, not yet enough of it
  bool line_begins_ = true;

  bool in_header_ = true;
  Where where_ = Where::message;
  Entity entity_;
  std::string header_; // the current header
  std::size_t name_length_ = 0;
  bool header_ends_ = true; // its last line is complete
  bool given_ = false;      // it was too long, and its beginning was given out
  std::vector<Level> levels_;
  bool too_deep_ = false;
  bool saw_signed_ = false;
};

} // namespace postrider::mime
