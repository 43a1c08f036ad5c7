# Programs. A program never includes another program's folder.
set(all_l4 base sandbox ev mail config smtp mime db net milter tls sasl http ipc dns queue maps route proto service)
if(EXISTS ${CMAKE_SOURCE_DIR}/master/main.cpp)
  postrider_program(master USES base ev config net ipc proto sandbox daemon)  # it knows no mail
endif()
foreach(program qmgr smtp lmtp bounce scache tlsmgr)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${program}/main.cpp)
    postrider_program(${program} USES ${all_l4} smtpclient daemon submit)
  endif()
endforeach()
postrider_program(smtpd USES ${all_l4} smtpclient daemon submit forward)
postrider_program(tokenmgr USES base ev config db tls http ipc maps proto service daemon
                  LINKS nlohmann_json::nlohmann_json)
postrider_program(anvil USES base ev config net ipc proto service daemon)
postrider_program(saslmgr USES base sandbox ev config net sasl ipc proto service daemon)
postrider_program(tlsrpt USES base ev mail config db net dns http ipc queue proto service daemon submit
                  LINKS nlohmann_json::nlohmann_json PkgConfig::ZLIB)
if(EXISTS ${CMAKE_SOURCE_DIR}/ctl/main.cpp)
  postrider_program(postrider FOLDER ctl DESTINATION bin USES ${all_l4} smtpclient daemon submit
                    LINKS nlohmann_json::nlohmann_json)
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/ctl/sendmail.cpp)
  postrider_program(sendmail FOLDER ctl MAIN sendmail.cpp DESTINATION bin USES ${all_l4} smtpclient
                    daemon submit)
endif()
