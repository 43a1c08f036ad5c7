if(NOT BUILD_TESTING)
  return()
endif()
file(GLOB support CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/*.cpp)
if(support)
  add_library(test_support STATIC ${support})
  target_link_libraries(test_support PUBLIC base_lib ev_lib net_lib dns_lib tls_lib)
  target_include_directories(test_support PUBLIC ${CMAKE_SOURCE_DIR}/tests)
else()
  add_library(test_support INTERFACE)
  target_include_directories(test_support INTERFACE ${CMAKE_SOURCE_DIR}/tests)
endif()
foreach(lib base sandbox ev mail config smtp mime db net milter tls sasl http ipc dns queue maps route proto service
        smtpclient daemon submit forward)
  postrider_test(${lib})
endforeach()
foreach(program master smtpd qmgr lmtp bounce scache tlsmgr tokenmgr saslmgr tlsrpt anvil ctl)
  if(TARGET ${program}_parts)
    postrider_test(${program} PARTS)
  endif()
endforeach()

# Load source and counting sink of tests/bench, and the tests that use them.
foreach(tool source sink)
  add_executable(bench_${tool} ${CMAKE_SOURCE_DIR}/tests/bench/${tool}.cpp)
  set_target_properties(bench_${tool} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach()
target_link_libraries(bench_sink PRIVATE PkgConfig::GNUTLS)

# What TLS costs: tests/bench/tls.cpp. Built when asked for.
add_executable(bench_tls EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/bench/tls.cpp
               ${CMAKE_SOURCE_DIR}/tests/unit/tls/test_keys.cpp
               ${CMAKE_SOURCE_DIR}/tests/unit/tls/test_pair.cpp)
target_include_directories(bench_tls PRIVATE ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(bench_tls PRIVATE tls_lib test_support)
set_target_properties(bench_tls PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

# One behaviour per file. 77 means skipped; "long" keeps a test out of `make check`.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(python_environment "PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support"
    "POSTRIDER_BUILD=${CMAKE_BINARY_DIR}" "PYTHONDONTWRITEBYTECODE=1")
foreach(kind integration fault)
  file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${kind}/*.py)
  foreach(script ${scripts})
    get_filename_component(behaviour ${script} NAME_WE)
    add_test(NAME ${kind}.${behaviour} COMMAND ${Python3_EXECUTABLE} ${script})
    set_tests_properties(${kind}.${behaviour} PROPERTIES LABELS ${kind} SKIP_RETURN_CODE 77
                         TIMEOUT 300 ENVIRONMENT "${python_environment}")
  endforeach()
endforeach()

set_tests_properties(integration.evil_worker PROPERTIES TIMEOUT 900)

# The same mail through Debian's Postfix and through the suite (make conformance is the whole of it).
add_test(NAME integration.conformance_short
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/conformance/run.py --short)
add_test(NAME conformance COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/conformance/run.py)
set_tests_properties(integration.conformance_short PROPERTIES LABELS integration TIMEOUT 600)
set_tests_properties(conformance PROPERTIES LABELS long TIMEOUT 3600)
set_tests_properties(integration.conformance_short conformance PROPERTIES PROCESSORS 2
                     SKIP_RETURN_CODE 77 ENVIRONMENT "${python_environment}")

# The rules of the tree, and the proof that each checker refuses what it should.
foreach(checker layers coroutines docs)
  add_test(NAME tree.${checker}
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/check_${checker}.py)
  add_test(NAME tree.${checker}_self_test
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/check_${checker}.py --self-test)
  set_tests_properties(tree.${checker} tree.${checker}_self_test PROPERTIES LABELS unit)
endforeach()

add_test(NAME tree.parameter_table_self_test
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/gen_parameter_table.py --self-test)
add_test(NAME tree.parameter_table
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/gen_parameter_table.py --check)
add_test(NAME tree.figures
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/make_figures.py --check)
set_tests_properties(tree.figures PROPERTIES LABELS unit)
set_tests_properties(tree.parameter_table tree.parameter_table_self_test PROPERTIES LABELS unit)

# Programs that master starts in tests.
add_executable(echo_worker ${CMAKE_SOURCE_DIR}/tests/support/workers/echo_worker.cpp)
target_link_libraries(echo_worker PRIVATE daemon_lib)
set_target_properties(echo_worker PROPERTIES RUNTIME_OUTPUT_DIRECTORY
                      ${CMAKE_BINARY_DIR}/tests/workers)
# A worker that was taken over (tests/evil).
file(GLOB evil CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/evil/*.cpp)
add_executable(evil_worker ${evil})
target_link_libraries(evil_worker PRIVATE daemon_lib queue_lib)
set_target_properties(evil_worker PROPERTIES RUNTIME_OUTPUT_DIRECTORY
                      ${CMAKE_BINARY_DIR}/tests/evil)
# Power cuts: every prefix of the queue's file operations (tests/fault).
file(GLOB queue_crash CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fault/queue_*.cpp)
if(queue_crash)
  add_executable(queue_crash ${queue_crash})
  target_link_libraries(queue_crash PRIVATE queue_lib test_support GTest::gmock GTest::gtest_main)
  gtest_discover_tests(queue_crash TEST_PREFIX "fault." PROPERTIES LABELS fault
                       DISCOVERY_TIMEOUT 60 DISCOVERY_MODE PRE_TEST)
endif()

# The Nth allocation of a program fails (tests/fault/allocation): smtpd and the agents have few enough to
# try each; of qmgr's some, and each in a test with the label long.
foreach(part smtpd smtpclient bounce qmgr)
  set(source ${CMAKE_SOURCE_DIR}/tests/fault/allocation)
  add_executable(allocation_${part} ${source}/${part}_test.cpp ${source}/trial.cpp)
  target_include_directories(allocation_${part} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(allocation_${part} PRIVATE
                        $<IF:$<TARGET_EXISTS:${part}_parts>,${part}_parts,${part}_lib> test_support
                        GTest::gmock GTest::gtest_main)
  gtest_discover_tests(allocation_${part} TEST_PREFIX "fault." TEST_FILTER "-Every*"
                       PROPERTIES LABELS fault DISCOVERY_TIMEOUT 60 DISCOVERY_MODE PRE_TEST)
endforeach()
gtest_discover_tests(allocation_qmgr TEST_PREFIX "fault." TEST_FILTER "Every*"
                     PROPERTIES LABELS long DISCOVERY_TIMEOUT 60 DISCOVERY_MODE PRE_TEST)

# Mistakes made on purpose (tests/support/seeds.py): a changed copy of one source, linked with the
# unit test that has to notice it. Nothing that is installed knows of them.
set(seeds ${CMAKE_SOURCE_DIR}/tests/support/seeds.py)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${seeds})
execute_process(COMMAND ${Python3_EXECUTABLE} ${seeds} list OUTPUT_VARIABLE seed_list
                COMMAND_ERROR_IS_FATAL ANY)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/seeded)
foreach(seed ${seed_list})
  string(REPLACE "," ";" seed ${seed})
  list(GET seed 0 name)
  list(GET seed 1 source)
  list(GET seed 2 test)
  set(copy ${CMAKE_BINARY_DIR}/seeded/${name}.cpp)
  add_custom_command(OUTPUT ${copy} COMMAND ${Python3_EXECUTABLE} ${seeds} ${name} ${copy}
                     DEPENDS ${seeds} ${CMAKE_SOURCE_DIR}/${source} VERBATIM)
  # The copy's symbols come first, so the library's own object is not linked.
  add_executable(seeded_${name} ${copy} $<TARGET_OBJECTS:${test}_test>)
  set_target_properties(seeded_${name} PROPERTIES OUTPUT_NAME ${name}_test RUNTIME_OUTPUT_DIRECTORY
                        ${CMAKE_BINARY_DIR}/seeded)
  target_link_libraries(seeded_${name} PRIVATE $<TARGET_PROPERTY:${test}_test,LINK_LIBRARIES>)
endforeach()
