// The functions of libduckdb that the adapter uses, opened once a process. Only tabular/ includes
// this.
#pragma once

#include <duckdb.h>

#include "base/error.h"

namespace skerry {

#define SKERRY_DUCKDB_FUNCTIONS(X)           \
  X(create_config)                           \
  X(set_config)                              \
  X(destroy_config)                          \
  X(open_ext)                                \
  X(close)                                   \
  X(connect)                                 \
  X(disconnect)                              \
  X(free)                                    \
  X(query)                                   \
  X(destroy_result)                          \
  X(result_error)                            \
  X(result_error_type)                       \
  X(column_count)                            \
  X(column_name)                             \
  X(column_type)                             \
  X(column_logical_type)                     \
  X(fetch_chunk)                             \
  X(extract_statements)                      \
  X(extract_statements_error)                \
  X(prepare_extracted_statement)             \
  X(destroy_extracted)                       \
  X(execute_prepared)                        \
  X(execute_prepared_streaming)              \
  X(prepare)                                 \
  X(prepare_error)                           \
  X(destroy_prepare)                         \
  X(create_data_chunk)                       \
  X(destroy_data_chunk)                      \
  X(data_chunk_reset)                        \
  X(data_chunk_get_vector)                   \
  X(data_chunk_get_size)                     \
  X(data_chunk_set_size)                     \
  X(vector_size)                             \
  X(vector_get_data)                         \
  X(vector_get_validity)                     \
  X(vector_ensure_validity_writable)         \
  X(validity_set_row_invalid)                \
  X(unsafe_vector_assign_string_element_len) \
  X(valid_utf8_check)                        \
  X(error_data_has_error)                    \
  X(destroy_error_data)                      \
  X(create_logical_type)                     \
  X(destroy_logical_type)                    \
  X(decimal_scale)                           \
  X(decimal_internal_type)                   \
  X(enum_internal_type)                      \
  X(enum_dictionary_value)                   \
  X(appender_create)                         \
  X(append_data_chunk)                       \
  X(appender_error)                          \
  X(appender_close)                          \
  X(appender_destroy)                        \
  X(create_table_function)                   \
  X(table_function_set_name)                 \
  X(table_function_set_extra_info)           \
  X(table_function_set_bind)                 \
  X(table_function_set_init)                 \
  X(table_function_set_function)             \
  X(register_table_function)                 \
  X(destroy_table_function)                  \
  X(bind_get_extra_info)                     \
  X(bind_add_result_column)                  \
  X(bind_set_cardinality)                    \
  X(bind_set_error)                          \
  X(init_set_init_data)                      \
  X(init_set_max_threads)                    \
  X(function_get_extra_info)                 \
  X(function_get_init_data)                  \
  X(function_set_error)                      \
  X(library_version)

struct DuckDbFunctions {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a name that is declared takes none.
#define SKERRY_DUCKDB_MEMBER(name) decltype(&::duckdb_##name) name = nullptr;
  SKERRY_DUCKDB_FUNCTIONS(SKERRY_DUCKDB_MEMBER)
#undef SKERRY_DUCKDB_MEMBER
};

// Opens the library at the first call; later calls return the same table, or the same error.
// Thread-safe. The pointer lives as long as the process.
Result<const DuckDbFunctions*> LoadDuckDb();

}  // namespace skerry
