# skerry_module(NAME outbox SOURCES ... DEPS ...): static library skerry::outbox.
# skerry_test(NAME outbox_tests SOURCES ... DEPS ...): a GoogleTest program known to ctest.
add_library(skerry_flags INTERFACE)
target_include_directories(skerry_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(skerry_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

# Sources that include one header each, for the headers that have no source of their own: each
# header compiles alone.
function(skerry_header_sources OUT)
  set(made)
  file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
  foreach(header ${headers})
    string(REGEX REPLACE "\\.h$" ".cpp" source ${header})
    if(NOT EXISTS ${CMAKE_SOURCE_DIR}/src/${source})
      set(alone ${CMAKE_BINARY_DIR}/alone/${source})
      file(CONFIGURE OUTPUT ${alone} CONTENT "#include \"${header}\"\n")
      list(APPEND made ${alone})
    endif()
  endforeach()
  set(${OUT} ${made} PARENT_SCOPE)
endfunction()

function(skerry_module)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  skerry_header_sources(alone)
  add_library(skerry_${ARG_NAME} STATIC ${ARG_SOURCES} ${alone})
  target_link_libraries(skerry_${ARG_NAME} PUBLIC skerry_flags Threads::Threads ${ARG_DEPS})
  add_library(skerry::${ARG_NAME} ALIAS skerry_${ARG_NAME})
endfunction()

# Flags of the presets for the tests' own sources: compiled sooner, since what they test is optimized and checked anyway.
set(SKERRY_TEST_FLAGS "" CACHE STRING "compile options of test sources alone, behind all others")

function(skerry_test)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_compile_options(${ARG_NAME} PRIVATE ${SKERRY_TEST_FLAGS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
endfunction()
