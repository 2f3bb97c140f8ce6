# skerry_web: the global app (web/), built by Vite and compiled in. One build serves every preset.
set(SKERRY_WEB_SOURCE ${CMAKE_SOURCE_DIR}/build/web/web_assets.cpp)
file(GLOB_RECURSE web_inputs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/src/* ${CMAKE_SOURCE_DIR}/web/public/*)
add_custom_command(OUTPUT ${SKERRY_WEB_SOURCE}
  COMMAND ${CMAKE_SOURCE_DIR}/scripts/web ${SKERRY_WEB_SOURCE}
  COMMAND ${CMAKE_COMMAND} -E touch ${SKERRY_WEB_SOURCE}
  DEPENDS ${web_inputs} ${CMAKE_SOURCE_DIR}/web/index.html ${CMAKE_SOURCE_DIR}/web/package-lock.json
    ${CMAKE_SOURCE_DIR}/web/vite.config.ts ${CMAKE_SOURCE_DIR}/web/tsconfig.json ${CMAKE_SOURCE_DIR}/scripts/web
  COMMENT "Building the web app")
add_library(skerry_web STATIC ${SKERRY_WEB_SOURCE})
target_link_libraries(skerry_web PUBLIC skerry_flags)
add_library(skerry::web ALIAS skerry_web)
