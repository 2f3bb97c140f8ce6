#include "tabular/duckdb_library.h"

#include "base/shared_library.h"

namespace skerry {
namespace {

Result<DuckDbFunctions> FindFunctions() {
  SKERRY_ASSIGN_OR_RETURN(const SharedLibrary library, SharedLibrary::Open("libduckdb.so"));
  DuckDbFunctions functions;
#define SKERRY_DUCKDB_FIND(name) \
  SKERRY_RETURN_IF_ERROR(library.Find("duckdb_" #name, functions.name));
  SKERRY_DUCKDB_FUNCTIONS(SKERRY_DUCKDB_FIND)
#undef SKERRY_DUCKDB_FIND
  return functions;
}

}  // namespace

Result<const DuckDbFunctions*> LoadDuckDb() {
  static const Result<DuckDbFunctions> functions = FindFunctions();
  if (!functions) return tl::make_unexpected(functions.error());
  return &*functions;
}

}  // namespace skerry
