# Programs. A program never includes another program's folder.
set(all_l4 base ev mail config smtp mime db net tls sasl http ipc dns queue maps route proto service)
if(EXISTS ${CMAKE_SOURCE_DIR}/master/main.cpp)
  postrider_program(master USES base ev config net ipc proto daemon)  # it knows no mail
endif()
foreach(program smtpd qmgr smtp lmtp bounce scache tlsmgr tokenmgr)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${program}/main.cpp)
    postrider_program(${program} USES ${all_l4} smtpclient daemon submit)
  endif()
endforeach()
if(EXISTS ${CMAKE_SOURCE_DIR}/ctl/main.cpp)
  postrider_program(postrider FOLDER ctl DESTINATION bin USES ${all_l4} smtpclient daemon submit
                    LINKS nlohmann_json::nlohmann_json)
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/ctl/sendmail.cpp)
  postrider_program(sendmail FOLDER ctl MAIN sendmail.cpp DESTINATION bin USES ${all_l4} smtpclient
                    daemon submit)
endif()
