// SPDX-License-Identifier: MIT
// Named fields: the one encoding for IPC messages, message records and queue events.
//
// A struct names its fields once and is then written and read by encode() and decode():
//
//   struct Greeting {
//     std::string name;
//     std::uint32_t capacity = 0;
//     std::vector<std::string> words;
//     template <typename Visitor, typename Self>
//     static void fields(Visitor& v, Self& self) {
//       v("name", self.name);                  // required
//       v("capacity", self.capacity);
//       v.optional("words", self.words);       // keeps its default when absent
//     }
//   };
//
// Members may be bool, integers, enums, std::string, vectors, and structs of the same kind.
// An enum names its highest value: `constexpr E highest(E) { return E::last; }` beside it.
// Reading is strict: a missing required field, a wrong type, a number out of range, an enum out of
// range or a bad length is Error protocol that names the field; an unknown field is passed over.
//
//   field  = name-length(1) name kind(1) value-length(4, little-endian) value
//   number = 8 bytes little-endian (signed: two's complement);  bool = number 0 or 1
//   list   = { value-length(4) value } ...                      struct = field ...
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace postrider {

namespace fields_detail {

enum class Kind : char { number = 'n', bytes = 'b', list = 'l', record = 'r' };

template <typename T>
struct is_vector : std::false_type {};
template <typename T>
struct is_vector<std::vector<T>> : std::true_type {};

template <typename T>
constexpr Kind kind_of() {
  if constexpr (std::is_integral_v<T> || std::is_enum_v<T>)
    return Kind::number;
  else if constexpr (std::is_same_v<T, std::string>)
    return Kind::bytes;
  else if constexpr (is_vector<T>::value)
    return Kind::list;
  else
    return Kind::record;
}

template <typename T>
void write_value(std::string& out, const T& value);
template <typename T>
Result<void> read_value(ByteView in, T& value);

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  template <typename T>
  void operator()(std::string_view name, const T& value) {
    out_.push_back(static_cast<char>(name.size()));
    out_.append(name);
    out_.push_back(static_cast<char>(kind_of<T>()));
    const std::size_t length_at = out_.size();
    put_le<std::uint32_t>(out_, 0);
    write_value(out_, value);
    patch_length(out_, length_at);
  }
  template <typename T>
  void optional(std::string_view name, const T& value) {
    if (!(value == T{})) (*this)(name, value);
  }

  static void patch_length(std::string& out, std::size_t at) {
    const auto length = static_cast<std::uint32_t>(out.size() - at - 4);
    for (std::size_t i = 0; i < 4; ++i)
      out[at + i] = static_cast<char>(length >> (8 * i));
  }

 private:
  std::string& out_;
};

class Reader {
 public:
  explicit Reader(ByteView in) : in_(in) {}

  template <typename T>
  void operator()(std::string_view name, T& value) {
    read(name, value, true);
  }
  template <typename T>
  void optional(std::string_view name, T& value) {
    read(name, value, false);
  }

  // After all fields: the first thing that was wrong.
  Result<void> finish();

 private:
  template <typename T>
  void read(std::string_view name, T& value, bool required) {
    if (failed_) return;
    ByteView found;
    const Lookup result = find(name, kind_of<T>(), found);
    if (result == Lookup::absent && !required) return;
    if (result == Lookup::absent) return fail(name, "is missing");
    if (result == Lookup::bad) return fail(name, "is malformed");
    if (auto read = read_value(found, value); !read) fail(name, read.error().text());
  }
  enum class Lookup { found, absent, bad };
  Lookup find(std::string_view name, Kind kind, ByteView& value);
  void fail(std::string_view name, std::string_view what);

  ByteView in_;
  std::size_t cursor_ = 0;
  bool failed_ = false;
  std::string problem_;
};

Result<std::uint64_t> read_number(ByteView in);
// Splits the front value off a list.
Result<ByteView> next_of_list(ByteView& in);

template <typename T>
void write_value(std::string& out, const T& value) {
  if constexpr (std::is_enum_v<T>) {
    put_le<std::uint64_t>(out, static_cast<std::uint64_t>(value));
  } else if constexpr (std::is_integral_v<T>) {
    put_le<std::uint64_t>(out, static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
  } else if constexpr (std::is_same_v<T, std::string>) {
    out.append(value);
  } else if constexpr (is_vector<T>::value) {
    for (const auto& item : value) {
      const std::size_t length_at = out.size();
      put_le<std::uint32_t>(out, 0);
      write_value(out, item);
      Writer::patch_length(out, length_at);
    }
  } else {
    Writer writer(out);
    T::fields(writer, value);
  }
}

template <typename T>
Result<void> read_value(ByteView in, T& value) {
  if constexpr (std::is_enum_v<T>) {
    auto number = read_number(in);
    if (!number) return number.error();
    if (*number > static_cast<std::uint64_t>(highest(T{})))
      return Error(ErrorKind::protocol, "is not one of its words");
    value = static_cast<T>(*number);
  } else if constexpr (std::is_integral_v<T>) {
    auto number = read_number(in);
    if (!number) return number.error();
    if constexpr (std::is_same_v<T, bool>) {
      if (*number > 1) return Error(ErrorKind::protocol, "is not a yes or no");
      value = *number == 1;
    } else if constexpr (std::is_signed_v<T>) {
      const auto wide = static_cast<std::int64_t>(*number);
      if (wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max())
        return Error(ErrorKind::protocol, "is out of range");
      value = static_cast<T>(wide);
    } else {
      if (*number > std::numeric_limits<T>::max())
        return Error(ErrorKind::protocol, "is out of range");
      value = static_cast<T>(*number);
    }
  } else if constexpr (std::is_same_v<T, std::string>) {
    value.assign(in);
  } else if constexpr (is_vector<T>::value) {
    value.clear();
    while (!in.empty()) {
      auto item = next_of_list(in);
      if (!item) return item.error();
      typename T::value_type element{};
      if (auto read = read_value(*item, element); !read) return read;
      value.push_back(std::move(element));
    }
  } else {
    Reader reader(in);
    T::fields(reader, value);
    return reader.finish();
  }
  return {};
}

} // namespace fields_detail

template <typename T>
void encode_to(std::string& out, const T& value) {
  fields_detail::Writer writer(out);
  T::fields(writer, value);
}

template <typename T>
std::string encode(const T& value) {
  std::string out;
  encode_to(out, value);
  return out;
}

template <typename T>
Result<T> decode(ByteView in) {
  T value{};
  fields_detail::Reader reader(in);
  T::fields(reader, value);
  if (auto done = reader.finish(); !done) return done.error();
  return value;
}

} // namespace postrider
