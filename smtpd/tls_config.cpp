// SPDX-License-Identifier: MIT
#include "tls_config.hpp"

#include <unistd.h>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "base/words.hpp"
#include "config/settings.hpp"
#include "maps/map.hpp"
#include "tls/priority.hpp"
#include "tls/verify.hpp"

namespace postrider::smtpd {

namespace {

Error in_parameter(std::string_view name, const Error& error) {
  return Error(ErrorKind::config, std::string(name) + ": " + error.text(), error.saved_errno());
}

Error in_parameter(std::string_view name, std::string_view text) {
  return Error(ErrorKind::config, std::string(name) + ": " + std::string(text));
}

void warn_of_old_forms(const config::Settings& settings) {
  const bool mute = !settings.text("smtpd_tls_security_level").empty();
  const auto warn = [mute](std::string_view name, std::string_view level) {
    log::warning(std::string(name) +
                 (mute ? " is ignored when smtpd_tls_security_level is not empty"
                       : " is obsolete; use smtpd_tls_security_level = " + std::string(level)));
  };
  if (settings.flag("smtpd_use_tls")) warn("smtpd_use_tls", "may");
  if (settings.flag("smtpd_enforce_tls")) warn("smtpd_enforce_tls", "encrypt");
}

Result<TlsLevel> level_of(const config::Settings& settings) {
  if (settings.flag("smtpd_local_submission")) return TlsLevel::none;
  if (settings.flag("smtpd_tls_wrappermode")) return TlsLevel::encrypt;
  const std::string& text = settings.text("smtpd_tls_security_level");
  if (text.empty())
    return settings.flag("smtpd_enforce_tls") ? TlsLevel::encrypt
           : settings.flag("smtpd_use_tls")   ? TlsLevel::may
                                              : TlsLevel::none;
  if (iequals(text, "none")) return TlsLevel::none;
  if (iequals(text, "may")) return TlsLevel::may;
  if (iequals(text, "encrypt")) return TlsLevel::encrypt;
  for (const std::string_view known :
       {"fingerprint", "dane", "dane-only", "half-dane", "verify", "secure"}) {
    if (!iequals(text, known)) continue;
    log::warning("smtpd_tls_security_level: unsupported TLS level \"" + text +
                 "\", using \"encrypt\"");
    return TlsLevel::encrypt;
  }
  return in_parameter("smtpd_tls_security_level",
                      "no such TLS level: " + text + "; there are none, may and encrypt");
}

Result<std::string> priority_of(const config::Settings& settings, const TlsConfig& config) {
  const bool mandatory = config.level == TlsLevel::encrypt;
  tls::CipherRequest wanted;
  wanted.native = settings.text("smtpd_tls_priority");
  const bool native = !wanted.native.empty();
  if (!native) {
    wanted.grade = mandatory ? settings.text("smtpd_tls_mandatory_ciphers")
                             : settings.text("smtpd_tls_ciphers");
    wanted.protocols = mandatory ? settings.text("smtpd_tls_mandatory_protocols")
                                 : settings.text("smtpd_tls_protocols");
    wanted.cipherlist = iequals(wanted.grade, "high")   ? settings.text("tls_high_cipherlist")
                        : iequals(wanted.grade, "null") ? settings.text("tls_null_cipherlist")
                                                        : settings.text("tls_medium_cipherlist");
    wanted.exclude = settings.words("smtpd_tls_exclude_ciphers");
    if (mandatory)
      for (const std::string& word : settings.words("smtpd_tls_mandatory_exclude_ciphers"))
        wanted.exclude.push_back(word);
    // Without ours a client is not asked for its certificate; who must encrypt encrypts.
    if (config.ask_certificate) wanted.exclude.emplace_back("aNULL");
    if (mandatory) wanted.exclude.emplace_back("eNULL");
  }
  auto priority = tls::to_priority(wanted);
  if (!priority)
    return in_parameter(native      ? "smtpd_tls_priority"
                        : mandatory ? "smtpd_tls_mandatory_ciphers, "
                                      "smtpd_tls_mandatory_exclude_ciphers, "
                                      "smtpd_tls_exclude_ciphers or smtpd_tls_mandatory_protocols"
                                    : "smtpd_tls_ciphers, smtpd_tls_exclude_ciphers or "
                                      "smtpd_tls_protocols",
                        priority.error());
  if (settings.flag("smtpd_tls_compatibility_mode")) *priority += ":%COMPAT";
  return priority;
}

tls::CredentialFiles own_files(const config::Settings& settings) {
  tls::CredentialFiles files;
  files.server = true;
  files.chain_files = settings.words("smtpd_tls_chain_files");
  if (files.chain_files.empty()) {
    if (const std::string& cert = settings.text("smtpd_tls_cert_file"); !cert.empty())
      files.pairs.push_back({cert, settings.text("smtpd_tls_key_file")});
    if (const std::string& cert = settings.text("smtpd_tls_eccert_file"); !cert.empty())
      files.pairs.push_back({cert, settings.text("smtpd_tls_eckey_file")});
  }
  files.ca_file = settings.text("smtpd_tls_CAfile");
  files.ca_path = settings.text("smtpd_tls_CApath");
  files.default_ca = settings.flag("tls_append_default_CA");
  return files;
}

// The tables are read as a whole: in the jail nobody could read what they name.
Result<void> add_named(Certificates::Files& files, const config::Settings& settings) {
  const auto specs = split_words(settings.text("tls_server_sni_maps"));
  if (!specs) return in_parameter("tls_server_sni_maps", specs.error());
  maps::MapOptions options;
  options.base_directory = settings.config_directory();
  for (const std::string& spec : *specs) {
    auto map = maps::open_map(spec, options);
    if (!map) return in_parameter("tls_server_sni_maps", map.error());
    const Result<void> listed = (*map)->list([&](std::string_view key, std::string_view value) {
      tls::CredentialFiles named = files.own; // the same roots for clients' certificates
      named.pairs.clear();
      named.chain_files.clear();
      for (const std::string_view file : split(value, ", \t"))
        named.chain_files.emplace_back(file);
      files.named.emplace(lowercase(key), std::move(named)); // the first answer counts
    });
    if (!listed) return in_parameter("tls_server_sni_maps", listed.error().in(spec));
  }
  return {};
}

Result<Certificates::Files> certificate_files(const config::Settings& settings) {
  Certificates::Files files;
  files.own = own_files(settings);
  for (const tls::CredentialFiles::Pair& pair : files.own.pairs)
    if (pair.cert == "none")
      return in_parameter("smtpd_tls_cert_file", "TLS without a certificate is not supported");
  if (files.own.chain_files.empty() && files.own.pairs.empty())
    return in_parameter(settings.flag("smtpd_tls_wrappermode") ? "smtpd_tls_wrappermode"
                                                               : "smtpd_tls_security_level",
                        "TLS needs a certificate; set smtpd_tls_chain_files, or "
                        "smtpd_tls_cert_file and smtpd_tls_key_file");
  POSTRIDER_TRY_VOID(add_named(files, settings));
  return files;
}

} // namespace

Result<std::shared_ptr<Certificates>> Certificates::open(const Files& files) {
  auto certificates = std::make_shared<Certificates>();
  auto own = tls::CredentialSource::open(files.own);
  if (!own) return own.error();
  certificates->own_ = std::move(*own);
  for (const auto& [name, its] : files.named) {
    auto source = tls::CredentialSource::open(its);
    if (source && !(*source).current()->has_certificate())
      return in_parameter("tls_server_sni_maps", name + ": no certificate is named");
    if (!source) return in_parameter("tls_server_sni_maps: " + name, source.error());
    certificates->named_.emplace(name, std::move(*source));
  }
  return certificates;
}

std::shared_ptr<const tls::Credentials> Certificates::of(std::string_view asked) const {
  const std::string name = lowercase(asked);
  auto found = named_.find(name);
  // As Postfix: then ".parent", and so on upwards.
  for (std::size_t dot = name.find('.', 1); found == named_.end() && dot != std::string::npos;
       dot = name.find('.', dot + 1))
    found = named_.find(std::string_view(name).substr(dot));
  return found == named_.end() ? nullptr : found->second.current();
}

std::vector<std::string> Certificates::refresh() {
  std::vector<std::string> problems;
  const auto look = [&problems](tls::CredentialSource& source) {
    if (const Result<bool> changed = source.refresh(); !changed)
      problems.push_back(changed.error().text());
  };
  look(own_);
  for (auto& [name, source] : named_)
    look(source);
  return problems;
}

Result<TlsConfig> load_tls(const config::Settings& settings) {
  warn_of_old_forms(settings);
  TlsConfig config;
  POSTRIDER_TRY(config.level, level_of(settings));
  const bool mandatory = config.level == TlsLevel::encrypt;
  if (config.level == TlsLevel::none) return config;
  config.read_as_root = ::geteuid() == 0;
  config.wrapper = settings.flag("smtpd_tls_wrappermode");
  config.require_certificate = settings.flag("smtpd_tls_req_ccert");
  if (config.require_certificate && !mandatory) {
    log::warning("smtpd_tls_req_ccert: can't require client certificates unless TLS is required "
                 "(smtpd_tls_security_level = encrypt)");
    config.require_certificate = false;
    config.ask_certificate = true;
  }
  if (settings.flag("smtpd_tls_ask_ccert") || config.require_certificate)
    config.ask_certificate = true;
  config.received_header = settings.flag("smtpd_tls_received_header");
  config.loglevel = static_cast<int>(settings.number("smtpd_tls_loglevel"));
  config.verify_depth = static_cast<int>(settings.number("smtpd_tls_ccert_verifydepth"));
  config.digest = settings.text("smtpd_tls_fingerprint_digest");
  if (const auto known = tls::certificate_fingerprint({}, config.digest); !known)
    return in_parameter("smtpd_tls_fingerprint_digest", known.error());
  config.handshake_limit = settings.time("smtpd_starttls_timeout");
  config.session_life = settings.time("smtpd_tls_session_cache_timeout");
  POSTRIDER_TRY(config.priority, priority_of(settings, config));
  POSTRIDER_TRY(const Certificates::Files files, certificate_files(settings));
  auto certificates = Certificates::open(files);
  if (certificates)
    config.certificates = std::move(*certificates);
  else
    config.trouble = certificates.error();
  return config;
}

} // namespace postrider::smtpd
