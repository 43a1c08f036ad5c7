// SPDX-License-Identifier: MIT
#include "daemon/options.hpp"

#include <boost/program_options.hpp>
#include <cstdlib>
#include <sstream>
#include <unistd.h>

#include "base/ascii.hpp"

namespace postrider::daemon {

namespace {

namespace po = boost::program_options;

po::options_description description() {
  po::options_description out("Options");
  out.add_options()                                                                    //
      ("config,c", po::value<std::string>(), "configuration directory")                //
      ("name,n", po::value<std::string>(), "service name (first column of master.cf)") //
      ("type,t", po::value<std::string>(), "service type: inet or unix")               //
      ("user,u", po::bool_switch(), "give up root for $mail_owner")                    //
      ("jail,j", po::bool_switch(), "chroot to $queue_directory")                      //
      ("override,o", po::value<std::vector<std::string>>(), "name=value: a parameter") //
      ("verbose,v", po::bool_switch(), "log more")                                     //
      ("stdio,S", po::bool_switch(), "serve one client, on descriptors 0 and 1")       //
      ("check", po::bool_switch(), "validate the configuration and exit")              //
      ("help,h", po::bool_switch(), "this text");
  return out;
}

std::string absolute(std::string path) {
  if (!path.empty() && path.front() == '/') return path;
  char* here = ::get_current_dir_name();
  std::string out = here != nullptr ? here : "";
  ::free(here);
  return out + "/" + path;
}

} // namespace

Result<Options> parse_options(int argc, const char* const* argv) {
  Options out;
  try {
    po::variables_map map;
    // No guessing: a new option must not change what an old abbreviation meant.
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::options_description known = description();
    known.add_options()("word", po::value<std::vector<std::string>>());
    po::positional_options_description words;
    words.add("word", -1);
    po::command_line_parser parser(argc, argv);
    po::store(parser.options(known).positional(words).style(style).run(), map);
    if (map.count("config")) out.config_directory = map["config"].as<std::string>();
    if (map.count("name")) out.service_name = map["name"].as<std::string>();
    if (map.count("type")) out.service_type = map["type"].as<std::string>();
    out.change_user = map["user"].as<bool>();
    out.change_root = map["jail"].as<bool>();
    out.verbose = map["verbose"].as<bool>();
    out.stdio = map["stdio"].as<bool>();
    out.check = map["check"].as<bool>();
    out.help = map["help"].as<bool>();
    if (map.count("word")) out.words = map["word"].as<std::vector<std::string>>();
    if (map.count("override")) {
      for (const std::string& text : map["override"].as<std::vector<std::string>>()) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos || trim(text.substr(0, equals)).empty())
          return Error(ErrorKind::config, "-o " + text + ": expected name=value");
        out.overrides.emplace_back(trim(std::string_view(text).substr(0, equals)),
                                   trim(std::string_view(text).substr(equals + 1)));
      }
    }
  } catch (const po::error& error) {
    return Error(ErrorKind::config, error.what());
  }
  if (out.service_type != "inet" && out.service_type != "unix")
    return Error(ErrorKind::config, "-t " + out.service_type + ": expected inet or unix");
  if (out.config_directory.empty())
    if (const char* from_environment = std::getenv("MAIL_CONFIG"))
      out.config_directory = from_environment;
  if (out.config_directory.empty()) out.config_directory = "/etc/postrider";
  out.config_directory = absolute(out.config_directory);
  return out;
}

std::string usage(std::string_view program) {
  std::ostringstream out;
  out << "usage: " << program << " [options]\n" << description();
  return out.str();
}

} // namespace postrider::daemon
