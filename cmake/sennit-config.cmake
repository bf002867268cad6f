# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# find_package(sennit) gives the target sennit::sennit (and sennit::sennit_tls where it is installed)
# and the function
#
#   sennit_generate(TARGET PROTOS x.proto... [IMPORT_DIRS dir...] [OPTIONS prefix=p...])
#
# which adds to TARGET what protoc-gen-sennit makes of the files, with its include directory.
# Names are below the first of IMPORT_DIRS that a file lies in; the default is the current source
# directory. Everything is found from where this file lies, so that a prefix can be moved.
cmake_minimum_required(VERSION 3.13)
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)

get_filename_component(_sennit_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
# <prefix>/lib, or <prefix>/lib/<architecture>
set(_sennit_prefixes "${_sennit_lib}/.." "${_sennit_lib}/../..")
find_path(SENNIT_INCLUDE_DIR sennit.h PATHS ${_sennit_prefixes} PATH_SUFFIXES include
          NO_DEFAULT_PATH)
# The plugin runs here, whatever is built: in a cross build it comes from PATH.
if(NOT CMAKE_CROSSCOMPILING)
  find_program(SENNIT_PLUGIN protoc-gen-sennit PATHS ${_sennit_prefixes} PATH_SUFFIXES bin
               NO_DEFAULT_PATH)
endif()
find_program(SENNIT_PLUGIN protoc-gen-sennit)
find_program(SENNIT_PROTOC protoc)

foreach(_sennit_name sennit sennit_tls)
  string(TOUPPER "${_sennit_name}_LIBRARY" _sennit_variable)
  find_library(${_sennit_variable} ${_sennit_name} PATHS "${_sennit_lib}" NO_DEFAULT_PATH)
  if(${_sennit_variable} AND NOT TARGET sennit::${_sennit_name})
    add_library(sennit::${_sennit_name} UNKNOWN IMPORTED)
    set_target_properties(sennit::${_sennit_name} PROPERTIES
      IMPORTED_LOCATION "${${_sennit_variable}}"
      INTERFACE_INCLUDE_DIRECTORIES "${SENNIT_INCLUDE_DIR}"
      # What runs on a goroutine must touch each page of its stack.
      INTERFACE_COMPILE_OPTIONS "-fstack-clash-protection"
      INTERFACE_LINK_LIBRARIES Threads::Threads)
  endif()
endforeach()
if(TARGET sennit::sennit_tls)
  set_property(TARGET sennit::sennit_tls APPEND PROPERTY INTERFACE_LINK_LIBRARIES sennit::sennit)
endif()

if(NOT SENNIT_INCLUDE_DIR OR NOT TARGET sennit::sennit)
  set(sennit_FOUND FALSE)
  set(sennit_NOT_FOUND_MESSAGE "sennit.h or libsennit is not below ${_sennit_lib}/..")
endif()

function(sennit_generate target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PROTOS;IMPORT_DIRS;OPTIONS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_PROTOS)
    message(FATAL_ERROR "sennit_generate(TARGET PROTOS ... [IMPORT_DIRS ...] [OPTIONS ...]), "
                        "not: ${ARGN}")
  endif()
  foreach(tool SENNIT_PROTOC SENNIT_PLUGIN)
    if(NOT ${tool})
      message(FATAL_ERROR "sennit_generate: ${tool} was not found")
    endif()
  endforeach()
  if(NOT arg_IMPORT_DIRS)
    set(arg_IMPORT_DIRS "${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  set(includes)
  set(roots)
  foreach(dir IN LISTS arg_IMPORT_DIRS)
    get_filename_component(dir "${dir}" ABSOLUTE)
    list(APPEND roots "${dir}")
    list(APPEND includes "-I${dir}")
  endforeach()
  string(REPLACE ";" "," options "${arg_OPTIONS}")
  set(out "${CMAKE_CURRENT_BINARY_DIR}/${target}.sennit")
  file(MAKE_DIRECTORY "${out}")
  foreach(proto IN LISTS arg_PROTOS)
    get_filename_component(proto "${proto}" ABSOLUTE)
    set(name)
    foreach(root IN LISTS roots)
      string(FIND "${proto}" "${root}/" at)
      if(at EQUAL 0 AND NOT name)
        string(LENGTH "${root}/" length)
        string(SUBSTRING "${proto}" ${length} -1 name)
      endif()
    endforeach()
    if(NOT name)
      message(FATAL_ERROR "sennit_generate: ${proto} lies below none of ${roots}")
    endif()
    string(REGEX REPLACE "\\.proto$" "" base "${name}")
    set(depfile)
    if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.20)
      set(depfile DEPFILE "${out}/${base}.d") # imports that change
    endif()
    get_filename_component(folder "${out}/${base}" DIRECTORY)
    file(MAKE_DIRECTORY "${folder}")
    add_custom_command(
      OUTPUT "${out}/${base}.sennit.c" "${out}/${base}.sennit.h"
      COMMAND "${SENNIT_PROTOC}" "--plugin=protoc-gen-sennit=${SENNIT_PLUGIN}"
              "--sennit_out=${options}:${out}" "--dependency_out=${out}/${base}.d" ${includes}
              "${proto}"
      DEPENDS "${proto}" "${SENNIT_PLUGIN}" ${depfile} VERBATIM
      COMMENT "protoc-gen-sennit ${name}")
    target_sources(${target} PRIVATE "${out}/${base}.sennit.c" "${out}/${base}.sennit.h")
  endforeach()
  target_include_directories(${target} PUBLIC "$<BUILD_INTERFACE:${out}>")
endfunction()
