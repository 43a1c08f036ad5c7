# Fuzz targets (doc/fuzzing.md): tests/fuzz/<name>.cpp with
#   LINKS    libraries, or the parts of a program
#   SOURCES  of programs, where a few files do; FOLDERS has those whose headers alone are included
#   COVERS   the sources by whose coverage it is judged
# tools/fuzz.py reads the same calls.
#
# With the preset `fuzz` each is a program of libFuzzer's. In every other build all of them are
# linked into one, tests/fuzz_replay, which runs them on the inputs in tests/fuzz/corpus.
if(NOT BUILD_TESTING)
  return()
endif()
set(fuzz_list ${CMAKE_BINARY_DIR}/fuzz/fuzz_targets.inc)
set(fuzz_names "")
if(POSTRIDER_FUZZ)
  add_custom_target(fuzz_targets)
else()
  add_executable(fuzz_replay ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.cpp)
  target_include_directories(fuzz_replay PRIVATE ${CMAKE_SOURCE_DIR}/tests ${CMAKE_BINARY_DIR}/fuzz)
  set_target_properties(fuzz_replay PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endif()

function(postrider_fuzz name)
  cmake_parse_arguments(A "" "" "LINKS;SOURCES;FOLDERS;COVERS" ${ARGN})
  set(source ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}.cpp)
  list(TRANSFORM A_FOLDERS PREPEND ${CMAKE_SOURCE_DIR}/)
  set(fuzz_names "${fuzz_names}TARGET(${name})\n" PARENT_SCOPE)
  if(POSTRIDER_FUZZ)
    list(TRANSFORM A_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/)
    add_executable(fuzz_${name} EXCLUDE_FROM_ALL ${source} ${A_SOURCES})
    target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests ${A_FOLDERS})
    target_link_libraries(fuzz_${name} PRIVATE ${A_LINKS})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    add_dependencies(fuzz_targets fuzz_${name})
  else()
    add_library(fuzz_${name} OBJECT ${source})
    target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests ${A_FOLDERS})
    target_compile_definitions(fuzz_${name} PRIVATE LLVMFuzzerTestOneInput=fuzz_${name})
    target_link_libraries(fuzz_${name} PRIVATE ${A_LINKS})
    list(TRANSFORM A_SOURCES REPLACE "/.*" "_parts") # all targets are one program here
    target_link_libraries(fuzz_replay PRIVATE fuzz_${name} ${A_LINKS} ${A_SOURCES})
    add_test(NAME fuzz.replay_${name}
             COMMAND fuzz_replay ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(fuzz.replay_${name} PROPERTIES LABELS unit)
  endif()
endfunction()

# Conversations.
postrider_fuzz(smtpd_session LINKS smtpd_parts test_support
               COVERS smtpd/session.cpp smtpd/session_commands.cpp smtpd/session_content.cpp
                      smtpd/intake.cpp smtpd/command_table.cpp)
postrider_fuzz(client_session LINKS smtpclient_lib test_support
               COVERS lib/smtpclient/session.cpp lib/smtpclient/greet.cpp
                      lib/smtpclient/transact.cpp lib/smtp/judge.cpp)
# What they consist of.
postrider_fuzz(reply LINKS smtp_lib COVERS lib/smtp/reply.cpp lib/smtp/ehlo.cpp)
postrider_fuzz(command LINKS smtp_lib COVERS lib/smtp/command.cpp)
postrider_fuzz(content LINKS smtp_lib COVERS lib/smtp/dot.cpp lib/mail/header.cpp)
postrider_fuzz(address LINKS mail_lib maps_lib net_lib
               COVERS lib/mail/address.cpp lib/mail/domain.cpp lib/maps/keys.cpp
                      lib/net/address.cpp)
postrider_fuzz(mime LINKS mime_lib
               COVERS lib/mime/parser.cpp lib/mime/content_type.cpp lib/mime/header_name.cpp
                      lib/mime/seven_bit.cpp lib/mime/address_list.cpp)
postrider_fuzz(dsn LINKS smtp_lib COVERS lib/smtp/batch.cpp lib/smtp/xtext.cpp)
postrider_fuzz(proxy_header LINKS net_lib SOURCES smtpd/proxy_header.cpp FOLDERS smtpd
               COVERS smtpd/proxy_header.cpp)
postrider_fuzz(behind LINKS smtp_lib dns_lib SOURCES smtpd/behind.cpp FOLDERS smtpd
               COVERS smtpd/behind.cpp lib/smtp/xforward.cpp)
postrider_fuzz(sasl LINKS sasl_lib FOLDERS smtpd
               COVERS lib/base/base64.cpp lib/sasl/bearer.cpp lib/sasl/cyrus.cpp)
postrider_fuzz(milter LINKS milter_lib test_support
               COVERS lib/milter/protocol.cpp lib/milter/filter.cpp lib/milter/answer.cpp
                      lib/milter/draft.cpp lib/milter/chain.cpp lib/milter/macros.cpp)
postrider_fuzz(submitted LINKS mail_lib SOURCES ctl/sendmail_message.cpp FOLDERS ctl
               COVERS ctl/sendmail_message.cpp)
# What other processes and the queue's files say.
postrider_fuzz(ipc_frame LINKS queue_lib smtpclient_lib sasl_lib FOLDERS saslmgr
               COVERS lib/base/fields.cpp lib/smtpclient/session_facts.cpp)
postrider_fuzz(ipc_control LINKS queue_lib COVERS lib/base/fields.cpp)
postrider_fuzz(ipc_channel LINKS ipc_lib test_support COVERS lib/ipc/channel.cpp)
postrider_fuzz(journal LINKS queue_lib COVERS lib/queue/message_record.cpp)
postrider_fuzz(message_file LINKS queue_lib COVERS lib/queue/state.cpp lib/queue/cell.cpp)
postrider_fuzz(ledger LINKS queue_lib COVERS lib/queue/cell.cpp)
# What the administrator wrote, and his servers say.
postrider_fuzz(main_cf LINKS config_lib
               COVERS lib/config/main_cf.cpp lib/config/expand.cpp lib/config/units.cpp
                      lib/config/settings.cpp lib/config/value_rules.cpp
                      lib/base/logical_lines.cpp lib/base/words.cpp)
postrider_fuzz(master_cf LINKS config_lib COVERS lib/config/master_cf.cpp)
postrider_fuzz(tables LINKS maps_lib
               COVERS lib/maps/text_table.cpp lib/maps/cidr.cpp lib/maps/pattern_table.cpp
                      lib/maps/regexp.cpp lib/maps/pcre.cpp)
postrider_fuzz(table_names LINKS maps_lib test_support
               COVERS lib/maps/map.cpp lib/maps/simple_maps.cpp lib/maps/match_list.cpp)
postrider_fuzz(access LINKS smtpclient_lib test_support FOLDERS smtpd
               SOURCES smtpd/restrict.cpp smtpd/restrict_access.cpp smtpd/restrict_dns.cpp
                       smtpd/restrict_names.cpp smtpd/restrict_words.cpp smtpd/dns_list.cpp
                       smtpd/policy_service.cpp
               COVERS smtpd/restrict.cpp smtpd/restrict_access.cpp smtpd/restrict_names.cpp
                      smtpd/restrict_words.cpp smtpd/restrict_dns.cpp)
postrider_fuzz(asked_server LINKS maps_lib config_lib test_support FOLDERS smtpd
               SOURCES smtpd/policy_service.cpp
               COVERS smtpd/policy_service.cpp lib/maps/socketmap.cpp)
# What the DNS and the servers of others say.
postrider_fuzz(dns LINKS dns_lib tls_lib COVERS lib/dns/reply.cpp lib/dns/mx.cpp lib/tls/tlsa.cpp)
postrider_fuzz(sts LINKS mail_lib SOURCES tlsrpt/record.cpp FOLDERS tlsrpt
               COVERS lib/mail/sts.cpp tlsrpt/record.cpp)
postrider_fuzz(tls_entries LINKS tls_lib FOLDERS tlsmgr
               COVERS lib/tls/der.cpp lib/tls/names.cpp lib/tls/pem.cpp lib/tls/session_data.cpp
                      lib/tls/tickets.cpp)
postrider_fuzz(json LINKS base_lib nlohmann_json::nlohmann_json SOURCES tokenmgr/json.cpp
               FOLDERS tokenmgr COVERS tokenmgr/json.cpp)
file(CONFIGURE OUTPUT ${fuzz_list} CONTENT "${fuzz_names}")
