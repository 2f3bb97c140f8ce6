# Third-party targets. What Debian packages is found as installed; the pinned downloads come from the
# prefix that scripts/deps made.
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/deps --print-prefix
  OUTPUT_VARIABLE SKERRY_DEPS OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(NOT EXISTS ${SKERRY_DEPS}/complete)
  message(FATAL_ERROR "The pinned downloads are missing: run scripts/deps first.")
endif()

find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(CURL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(simdjson REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(GTest REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(zstd 1.5 REQUIRED)
add_library(skerry_dep::zstd ALIAS zstd::libzstd_shared)

add_library(skerry_dep_onnxruntime SHARED IMPORTED)
set_target_properties(skerry_dep_onnxruntime PROPERTIES
  IMPORTED_LOCATION ${SKERRY_DEPS}/lib/libonnxruntime.so.1
  IMPORTED_SONAME libonnxruntime.so.1
  INTERFACE_INCLUDE_DIRECTORIES ${SKERRY_DEPS}/include/onnxruntime)
add_library(skerry_dep::onnxruntime ALIAS skerry_dep_onnxruntime)

# Headers alone: these libraries are opened on first use.
add_library(skerry_dep_headers INTERFACE)
target_include_directories(skerry_dep_headers SYSTEM INTERFACE ${SKERRY_DEPS}/include)
add_library(skerry_dep::duckdb_headers ALIAS skerry_dep_headers)
add_library(skerry_dep::xgboost_headers ALIAS skerry_dep_headers)

add_library(skerry_dep_sqlite STATIC ${SKERRY_DEPS}/src/sqlite3.c)
target_include_directories(skerry_dep_sqlite SYSTEM PUBLIC ${SKERRY_DEPS}/include)
target_compile_definitions(skerry_dep_sqlite PRIVATE SQLITE_THREADSAFE=2 SQLITE_DQS=0
  SQLITE_OMIT_DEPRECATED SQLITE_OMIT_LOAD_EXTENSION SQLITE_DEFAULT_MEMSTATUS=0
  HAVE_FDATASYNC=1)  # without it each commit writes the time of the write-ahead log too
target_compile_options(skerry_dep_sqlite PRIVATE -w -O2)
add_library(skerry_dep::sqlite ALIAS skerry_dep_sqlite)

set(SKERRY_PROTO_DIR ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${SKERRY_PROTO_DIR})
add_custom_command(OUTPUT ${SKERRY_PROTO_DIR}/onnx-ml.pb.cc ${SKERRY_PROTO_DIR}/onnx-ml.pb.h
  COMMAND protobuf::protoc --cpp_out=${SKERRY_PROTO_DIR} -I ${SKERRY_DEPS}/proto onnx-ml.proto
  DEPENDS ${SKERRY_DEPS}/proto/onnx-ml.proto)
add_library(skerry_dep_onnx_proto STATIC ${SKERRY_PROTO_DIR}/onnx-ml.pb.cc)
target_include_directories(skerry_dep_onnx_proto SYSTEM PUBLIC ${SKERRY_PROTO_DIR})
target_link_libraries(skerry_dep_onnx_proto PUBLIC protobuf::libprotobuf)
target_compile_options(skerry_dep_onnx_proto PRIVATE -w)
add_library(skerry_dep::onnx_proto ALIAS skerry_dep_onnx_proto)

set(SKERRY_RPC_PROTO ${CMAKE_SOURCE_DIR}/proto/open_inference.proto)
set(SKERRY_RPC_SOURCES ${SKERRY_PROTO_DIR}/open_inference.pb.cc ${SKERRY_PROTO_DIR}/open_inference.grpc.pb.cc)
add_custom_command(OUTPUT ${SKERRY_RPC_SOURCES}
    ${SKERRY_PROTO_DIR}/open_inference.pb.h ${SKERRY_PROTO_DIR}/open_inference.grpc.pb.h
  COMMAND protobuf::protoc --cpp_out=${SKERRY_PROTO_DIR} --grpc_out=${SKERRY_PROTO_DIR}
    --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>
    -I ${CMAKE_SOURCE_DIR}/proto ${SKERRY_RPC_PROTO}
  DEPENDS ${SKERRY_RPC_PROTO})
add_library(skerry_dep_open_inference STATIC ${SKERRY_RPC_SOURCES})
target_include_directories(skerry_dep_open_inference SYSTEM PUBLIC ${SKERRY_PROTO_DIR})
target_link_libraries(skerry_dep_open_inference PUBLIC protobuf::libprotobuf gRPC::grpc++)
target_compile_options(skerry_dep_open_inference PRIVATE -w)
add_library(skerry_dep::open_inference ALIAS skerry_dep_open_inference)

# The shared libraries stand in <build>/lib, where every executable of the build looks ($ORIGIN/lib).
file(COPY ${SKERRY_DEPS}/lib DESTINATION ${CMAKE_BINARY_DIR})
