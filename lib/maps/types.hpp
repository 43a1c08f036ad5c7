// SPDX-License-Identifier: MIT
// The table types, for open_map() only. `name` is what stands behind "type:".
#pragma once

#include "maps/map.hpp"
#include "maps/pattern.hpp"

namespace postrider::maps {

using Opened = Result<std::unique_ptr<Map>>;

// {...}: what is between the braces, without white space at its ends; nullopt without them.
std::optional<std::string_view> in_braces(std::string_view text);

// file_maps.cpp: tables in files, or, but for texthash and lmdb, {rule}, {rule} in the name
Opened open_texthash(std::string_view name, const MapOptions& options);
Opened open_lmdb(std::string_view name, const MapOptions& options);
Opened open_cidr(std::string_view name, const MapOptions& options);
Opened open_regexp(std::string_view name, const MapOptions& options);
Opened open_pcre(std::string_view name, const MapOptions& options);
// `type` is hash or another of Postfix's that we have no library for: the source is read.
Opened open_source_of(std::string_view type, std::string_view name, const MapOptions& options);

// simple_maps.cpp: tables without a file, and tables of tables
Opened open_static(std::string_view name, const MapOptions& options);
Opened open_inline(std::string_view name, const MapOptions& options);
Opened open_environ(std::string_view name, const MapOptions& options);
Opened open_fail(std::string_view name, const MapOptions& options);
Opened open_randmap(std::string_view name, const MapOptions& options);
Opened open_unionmap(std::string_view name, const MapOptions& options);
Opened open_pipemap(std::string_view name, const MapOptions& options);
Opened open_socketmap(std::string_view name, const MapOptions& options);

} // namespace postrider::maps
