// Library for LD_PRELOAD that writes a minidump when the program crashes, with Breakpad's client.
// The directory of the dump is in MINIDUMP_DIRECTORY.
#include <cstdlib>

#include "client/linux/handler/exception_handler.h"

namespace {

bool written(const google_breakpad::MinidumpDescriptor&, void*, bool succeeded) { return succeeded; }

__attribute__((constructor)) void install() {
  static google_breakpad::MinidumpDescriptor place(std::getenv("MINIDUMP_DIRECTORY"));
  static google_breakpad::ExceptionHandler handler(place, nullptr, written, nullptr, true, -1);
}

}  // namespace
