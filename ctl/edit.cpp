// SPDX-License-Identifier: MIT
#include "edit.hpp"

#include "base/ascii.hpp"
#include "config/main_cf.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

// One setting with its continuation lines, or lines that set nothing. Joined they are the file.
struct Block {
  std::string name; // empty: comments, empty lines
  std::string text;
};

std::vector<Block> blocks_of(std::string_view text) {
  std::vector<Block> out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end == std::string_view::npos ? end : end + 1);
    text.remove_prefix(line.size());
    const std::string_view bare = trim(line);
    const bool sets_nothing = bare.empty() || bare.front() == '#';
    const bool continues = !sets_nothing && (line.front() == ' ' || line.front() == '\t');
    if (continues) {
      // A comment may stand within a logical line: then it belongs to the setting.
      std::size_t from = out.size();
      while (from > 0 && out[from - 1].name.empty())
        --from;
      if (from == 0) {
        out.push_back({"", std::string(line)});
        continue;
      }
      for (std::size_t i = from; i < out.size(); ++i)
        out[from - 1].text += out[i].text;
      out.resize(from);
      out.back().text += line;
    } else if (sets_nothing) {
      out.push_back({"", std::string(line)});
    } else {
      out.push_back({std::string(trim(bare.substr(0, bare.find('=')))), std::string(line)});
    }
  }
  return out;
}

} // namespace

Result<Edit> parse_edit(std::string_view text) {
  const std::size_t equals = text.find('=');
  Edit out;
  if (equals != std::string_view::npos) out.name = trim(text.substr(0, equals));
  if (!config::is_parameter_name(out.name))
    return Error(ErrorKind::config, "\"" + shown(text, 60) + "\": expected name=value");
  out.value = trim(text.substr(equals + 1));
  for (const char c : out.value)
    if (c == '\n' || c == '\r' || c == '\0')
      return Error(ErrorKind::config, out.name + ": the value holds a line break");
  return out;
}

std::string edited_main_cf(std::string_view text, const std::vector<Edit>& edits) {
  std::vector<Block> blocks = blocks_of(text);
  for (const Edit& edit : edits) {
    const std::string line = edit.name + (edit.value.empty() ? " =\n" : " = " + edit.value + "\n");
    bool placed = edit.remove;
    for (std::size_t i = blocks.size(); i-- > 0;) {
      if (blocks[i].name != edit.name) continue;
      blocks[i].text = placed ? "" : line;
      placed = true;
    }
    if (!placed) {
      if (!blocks.empty() && !blocks.back().text.ends_with('\n')) blocks.back().text += "\n";
      blocks.push_back({edit.name, line});
    }
  }
  std::string out;
  for (const Block& block : blocks)
    out += block.text;
  return out;
}

} // namespace postrider::ctl
