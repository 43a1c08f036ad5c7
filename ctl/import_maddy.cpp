// SPDX-License-Identifier: MIT
// The forwarding blocks of maddy.conf. Its syntax: a directive with arguments on a line, and a
// block of such lines in { } behind it.
#include <optional>

#include "base/ascii.hpp"
#include "import.hpp"

namespace postrider::ctl {

namespace {

struct Directive {
  std::size_t line = 0;
  std::vector<std::string> words; // the name, then its arguments
  std::vector<Directive> block;
};

constexpr std::size_t kDeepest = 64;

class Parser {
 public:
  Parser(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  Result<std::vector<Directive>> block(std::size_t depth) {
    std::vector<Directive> out;
    if (depth > kDeepest) return bad("blocks are nested too deeply");
    while (true) {
      skip_blanks(true);
      if (at_ == text_.size()) {
        if (depth > 0) return bad("a block has no }");
        return out;
      }
      if (text_[at_] == '}') {
        if (depth == 0) return bad("a } without its {");
        ++at_;
        return out;
      }
      POSTRIDER_TRY(Directive one, directive(depth));
      out.push_back(std::move(one));
    }
  }

 private:
  Error bad(std::string_view what) const {
    return Error(ErrorKind::config,
                 std::string(file_) + ":" + std::to_string(line_) + ": " + std::string(what));
  }

  void skip_blanks(bool over_lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n')
          ++at_;
      } else if (c == '\n' && over_lines) {
        ++line_, ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        ++at_;
      } else if (c == '\\' && text_.substr(at_ + 1).starts_with("\n")) {
        ++line_, at_ += 2;
      } else {
        return;
      }
    }
  }

  Result<std::string> word() {
    std::string out;
    if (text_[at_] == '"') {
      for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
        if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
        if (text_[at_] == '\n') ++line_;
        out.push_back(text_[at_]);
      }
      if (at_ == text_.size()) return bad("a quoted word has no end");
      ++at_;
      return out;
    }
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n\"").find(text_[at_]) == std::string::npos)
      out.push_back(text_[at_++]);
    return out;
  }

  Result<Directive> directive(std::size_t depth) {
    Directive out;
    out.line = line_;
    while (true) {
      skip_blanks(false);
      if (at_ == text_.size() || text_[at_] == '\n') return out;
      if (text_[at_] == '}' && !out.words.empty()) return out;
      if (text_[at_] == '{') {
        ++at_;
        POSTRIDER_TRY(out.block, block(depth + 1));
        return out;
      }
      POSTRIDER_TRY(std::string next, word());
      out.words.push_back(std::move(next));
    }
  }

  std::string_view text_;
  std::string_view file_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

// Go's durations, "1h30m", "90s", in seconds; nullopt when it is none.
std::optional<std::string> seconds_of(std::string_view text) {
  std::uint64_t total = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::uint64_t number = 0;
    std::size_t digits = 0;
    while (digits < text.size() && digits < 9 && is_digit(text[digits]))
      number = number * 10 + static_cast<std::uint64_t>(text[digits++] - '0');
    if (digits == 0 || digits == text.size()) return std::nullopt;
    const char unit = text[digits];
    if (text.substr(digits).starts_with("ms")) return std::nullopt;
    if (unit == 'h')
      total += number * 3600;
    else if (unit == 'm')
      total += number * 60;
    else if (unit == 's')
      total += number;
    else
      return std::nullopt;
    text.remove_prefix(digits + 1);
  }
  return std::to_string(total) + "s";
}

bool is_yes(const Directive& d) { return d.words.size() < 2 || iequals(d.words[1], "yes"); }

class Maddy {
 public:
  explicit Maddy(std::string_view file) : file_(file) {}

  void walk(const std::vector<Directive>& block) {
    for (const Directive& d : block) {
      const std::string& name = d.words.empty() ? none_ : d.words[0];
      const bool inline_target = name == "deliver_to" && d.words.size() > 1 &&
                                 (d.words[1] == "smtp" || d.words[1] == "lmtp");
      if (name == "target.smtp" || name == "target.lmtp")
        take(d, name == "target.lmtp", {});
      else if (inline_target)
        take(d, d.words[1] == "lmtp", {d.words.begin() + 2, d.words.end()});
      else
        walk(d.block);
    }
  }
  Imported result() { return std::move(out_); }

 private:
  std::string place(const Directive& d) const {
    return std::string(file_) + ":" + std::to_string(d.line);
  }
  static std::string joined(const std::vector<std::string>& words, std::size_t from) {
    std::string out;
    for (std::size_t i = from; i < words.size(); ++i)
      out += (out.empty() ? "" : " ") + words[i];
    return out;
  }

  void take(const Directive& block, bool lmtp, std::vector<std::string> targets) {
    ForeignService service;
    service.columns = "127.0.0.1:" + std::to_string(2525 + out_.services.size()) +
                      "     inet  n       -       n       -       -       smtpd";
    client_ = lmtp ? "lmtp_" : "smtp_";
    service_ = &service;
    level_ = lmtp ? "none" : "may";
    out_.note(place(block), joined(block.words, 0), Fate::works,
              "a listener of its own; choose its address in master.cf");
    for (const Directive& d : block.block)
      if (!d.words.empty() && d.words[0] == "targets")
        targets.insert(targets.end(), d.words.begin() + 1, d.words.end());
    std::string forward;
    for (const std::string& target : targets)
      forward += (forward.empty() ? "" : ", ") + (lmtp ? "lmtp:" + target : target);
    set("smtpd_forward", forward);
    set("smtpd_forward_check", "rcpt");
    for (const Directive& d : block.block)
      if (!d.words.empty()) take_directive(d, targets);
    set(client_ + "tls_security_level", level_);
    if (targets.empty())
      out_.note(place(block), joined(block.words, 0), Fate::unsupported, "it names no targets");
    out_.services.push_back(std::move(service));
  }

  void set(std::string name, std::string value) {
    if (!value.empty()) service_->settings.emplace_back(std::move(name), std::move(value));
  }

  void take_time(const Directive& d, const std::vector<std::string>& suffixes) {
    const auto seconds = d.words.size() == 2 ? seconds_of(d.words[1]) : std::nullopt;
    if (!seconds)
      return out_.note(place(d), joined(d.words, 0), Fate::unsupported,
                       "write a time in seconds, minutes or hours");
    std::string names;
    for (const std::string& suffix : suffixes) {
      set(client_ + suffix, *seconds);
      names += (names.empty() ? "" : ", ") + client_ + suffix;
    }
    out_.note(place(d), joined(d.words, 0), Fate::works, names);
  }

  void take_directive(const Directive& d, const std::vector<std::string>& targets) {
    const std::string& name = d.words[0];
    const auto note = [&](Fate fate, std::string remark) {
      out_.note(place(d), joined(d.words, 0), fate, std::move(remark));
    };
    if (name == "targets") {
      note(Fate::works, "smtpd_forward");
    } else if (name == "debug") {
      if (is_yes(d)) set("debug_peer_list", "static:all");
      note(Fate::works, "debug_peer_list");
    } else if (name == "attempt_starttls") {
      if (level_ != "encrypt") level_ = is_yes(d) ? "may" : "none";
      note(Fate::works, client_ + "tls_security_level");
    } else if (name == "require_tls") {
      if (is_yes(d)) level_ = "encrypt";
      note(Fate::works, client_ + "tls_security_level = encrypt");
    } else if (name == "connect_timeout") {
      take_time(d, {"connect_timeout"});
    } else if (name == "command_timeout") {
      take_time(d, {client_ == "lmtp_" ? "lhlo_timeout" : "helo_timeout", "starttls_timeout",
                    "mail_timeout", "rcpt_timeout", "data_init_timeout", "rset_timeout",
                    "quit_timeout"});
    } else if (name == "submission_timeout") {
      take_time(d, {"data_done_timeout"});
    } else if (name == "hostname") {
      set(client_ == "lmtp_" ? "lmtp_lhlo_name" : "smtp_helo_name", joined(d.words, 1));
      note(Fate::works, "the name in EHLO");
    } else if (name == "auth") {
      take_auth(d, targets);
    } else if (name == "tls_client") {
      for (const Directive& inner : d.block)
        if (!inner.words.empty()) take_tls(inner);
    } else {
      note(Fate::unsupported, "not known");
    }
  }

  void take_auth(const Directive& d, const std::vector<std::string>& targets) {
    const std::string kind = d.words.size() > 1 ? lowercase(d.words[1]) : "off";
    if (kind == "off") {
      set("smtpd_forward_auth", "off");
    } else if (kind == "forward") {
      set("smtpd_forward_auth", "forward");
    } else if (kind == "external") {
      set("smtpd_forward_auth", "external");
    } else if ((kind == "plain" || kind == "login") && d.words.size() == 4) {
      set("smtpd_forward_auth", "maps");
      set(client_ + "sasl_auth_enable", "yes");
      set(client_ + "sasl_mechanism_filter", kind);
      set(client_ + "sasl_tls_security_options", "noanonymous");
      const std::string file = "forward_passwd" + std::to_string(out_.services.size() + 1);
      set(client_ + "sasl_password_maps", "texthash:" + file);
      std::string text;
      for (const std::string& target : targets) {
        const std::size_t slashes = target.find("://");
        text += target.substr(slashes == std::string::npos ? 0 : slashes + 3) + " " + d.words[2] +
                ":" + d.words[3] + "\n";
      }
      out_.files.push_back({file, text, true});
    } else {
      return out_.note(place(d), "auth " + kind, Fate::unsupported, "no such kind");
    }
    out_.note(place(d), "auth " + kind,
              kind == "plain" || kind == "login" ? Fate::differs : Fate::works,
              kind == "off" ? "smtpd_forward_auth"
                            : "smtpd_forward_auth; credentials go over TLS only, unless "
                              "smtpd_forward_auth_in_clear says otherwise");
  }

  void take_tls(const Directive& d) {
    const std::string value = joined(d.words, 1);
    const auto note = [&](Fate fate, std::string remark) {
      out_.note(place(d), "tls_client: " + joined(d.words, 0), fate, std::move(remark));
    };
    if (d.words[0] == "root_ca") {
      set(client_ + "tls_CAfile", value);
      note(Fate::works, client_ + "tls_CAfile");
    } else if (d.words[0] == "cert") {
      set(client_ + "tls_cert_file", value);
      note(Fate::works, client_ + "tls_cert_file");
    } else if (d.words[0] == "key") {
      set(client_ + "tls_key_file", value);
      note(Fate::works, client_ + "tls_key_file");
    } else if (d.words[0] == "protocols") {
      take_protocols(d);
    } else {
      note(Fate::unsupported, "ciphers and curves: " + client_ +
                                  "tls_priority, or leave the choice "
                                  "to the library");
    }
  }

  // "tls1.2 tls1.3" is a range, one word the only one.
  void take_protocols(const Directive& d) {
    std::string range;
    for (std::size_t i = 1; i < d.words.size() && i < 3; ++i) {
      std::string version = lowercase(d.words[i]);
      if (!version.starts_with("tls1.")) continue;
      version = version == "tls1.0" ? "TLSv1" : "TLSv" + version.substr(3);
      const bool only = d.words.size() == 2;
      range += (range.empty() ? "" : ", ") + std::string(i == 1 ? ">=" : "<=") + version;
      if (only) range += ", <=" + version;
    }
    set(client_ + "tls_protocols", range);
    set(client_ + "tls_mandatory_protocols", range);
    out_.note(place(d), "tls_client: " + joined(d.words, 0),
              range.empty() ? Fate::unsupported : Fate::works, client_ + "tls_protocols");
  }

  std::string_view file_;
  Imported out_;
  ForeignService* service_ = nullptr;
  std::string client_;
  std::string level_;
  const std::string none_;
};

} // namespace

Result<Imported> import_maddy(std::string_view text, std::string_view file) {
  POSTRIDER_TRY(const std::vector<Directive> all, Parser(text, file).block(0));
  Maddy maddy(file);
  maddy.walk(all);
  Imported out = maddy.result();
  if (out.services.empty())
    return Error(ErrorKind::config,
                 std::string(file) + ": no target.smtp, target.lmtp or deliver_to smtp block");
  return out;
}

} // namespace postrider::ctl
