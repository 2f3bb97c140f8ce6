# skerry_module(NAME outbox SOURCES ... DEPS ...): static library skerry::outbox.
# skerry_test(NAME outbox_tests SOURCES ... DEPS ...): a GoogleTest program known to ctest.
add_library(skerry_flags INTERFACE)
target_include_directories(skerry_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(skerry_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

function(skerry_module)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_library(skerry_${ARG_NAME} STATIC ${ARG_SOURCES})
  target_link_libraries(skerry_${ARG_NAME} PUBLIC skerry_flags Threads::Threads ${ARG_DEPS})
  add_library(skerry::${ARG_NAME} ALIAS skerry_${ARG_NAME})
endfunction()

function(skerry_test)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
endfunction()
