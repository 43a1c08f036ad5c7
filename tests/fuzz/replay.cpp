// SPDX-License-Identifier: MIT
// Fuzz targets without a fuzzer: runs one on the files of a directory.
//
//   fuzz_replay TARGET DIRECTORY|FILE...
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "target.hpp"

#define TARGET(name) extern "C" int fuzz_##name(const std::uint8_t* data, std::size_t size);
#include "fuzz_targets.inc"
#undef TARGET

int main(int argc, char** argv) {
  using Target = int (*)(const std::uint8_t*, std::size_t);
#define TARGET(name) {#name, fuzz_##name},
  const std::map<std::string, Target> targets = {
#include "fuzz_targets.inc"
  };
#undef TARGET
  const auto target = argc > 2 ? targets.find(argv[1]) : targets.end();
  if (target == targets.end()) {
    std::fprintf(stderr, "fuzz_replay: no such target, or nothing to replay\n");
    return 2;
  }
  std::set<std::filesystem::path> files;
  for (int i = 2; i < argc; ++i) {
    if (std::filesystem::is_directory(argv[i]))
      for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
        files.insert(entry.path());
    else
      files.insert(argv[i]);
  }
  target->second(nullptr, 0);
  for (const auto& path : files) {
    std::ifstream in(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (!in && !in.eof()) {
      std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
      return 1;
    }
    std::printf("%s\n", path.c_str()); // the last one names the input that failed
    std::fflush(stdout);
    target->second(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  return files.empty() ? 1 : 0;
}
