// SPDX-License-Identifier: MIT
#include "arguments.hpp"

#include <algorithm>
#include <boost/program_options.hpp>

#include "base/ascii.hpp"

namespace postrider::ctl {

namespace po = boost::program_options;

namespace {

constexpr const char* kWords = "<words>";

std::string long_name(std::string_view name) { return std::string(name.substr(0, name.find(','))); }

} // namespace

std::string Arguments::value(const std::string& name, std::string_view otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() || found->second.empty() ? std::string(otherwise)
                                                         : found->second.back();
}

std::vector<std::string> Arguments::values(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

Result<std::uint64_t> Arguments::number(const std::string& name, std::uint64_t otherwise,
                                        std::uint64_t least, std::uint64_t most) const {
  if (!has(name)) return otherwise;
  const auto number = parse_decimal(value(name));
  if (!number || *number < least || *number > most)
    return Error(ErrorKind::config, "--" + name + ": expected a number from " +
                                        std::to_string(least) + " to " + std::to_string(most));
  return *number;
}

Result<Arguments> parse_arguments(const std::vector<std::string>& line,
                                  const std::vector<Option>& options) {
  po::options_description description;
  po::positional_options_description positional;
  positional.add(kWords, -1);
  description.add_options()(kWords, po::value<std::vector<std::string>>());
  for (const Option& option : options) {
    const std::string name(option.name);
    if (option.value.empty())
      description.add_options()(name.c_str(), po::bool_switch());
    else
      description.add_options()(name.c_str(), po::value<std::vector<std::string>>());
  }
  Arguments out;
  try {
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::variables_map map;
    po::store(po::command_line_parser(line)
                  .options(description)
                  .positional(positional)
                  .style(style)
                  .run(),
              map);
    for (const Option& option : options) {
      const std::string name = long_name(option.name);
      if (map.count(name) == 0) continue;
      if (!option.value.empty())
        out.values_[name] = map[name].as<std::vector<std::string>>();
      else if (map[name].as<bool>())
        out.values_[name] = {};
    }
    if (map.count(kWords) != 0) out.words_ = map[kWords].as<std::vector<std::string>>();
  } catch (const po::error& error) {
    return Error(ErrorKind::config, error.what());
  }
  return out;
}

std::string describe_options(const std::vector<Option>& options) {
  std::vector<std::string> left;
  std::size_t width = 0;
  for (const Option& option : options) {
    std::string text = "--" + long_name(option.name);
    if (const std::size_t comma = option.name.find(','); comma != std::string_view::npos)
      text = "-" + std::string(option.name.substr(comma + 1)) + ", " + text;
    if (!option.value.empty()) text.append(" ").append(option.value);
    width = std::max(width, text.size());
    left.push_back(std::move(text));
  }
  std::string out;
  for (std::size_t i = 0; i < left.size(); ++i) {
    out.append("  ").append(left[i]).append(width + 2 - left[i].size(), ' ');
    out.append(options[i].help).append("\n");
  }
  return out;
}

} // namespace postrider::ctl
