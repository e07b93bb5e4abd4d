# Where a Debian package would put things, below CMAKE_INSTALL_PREFIX.
#
# shimd finds the processes it starts in ../libexec/shimd from where it is itself, so that an
# installation can be moved, or staged with DESTDIR, as a whole.
install(TARGETS shimd DESTINATION ${CMAKE_INSTALL_SBINDIR})
if(TARGET shimctl)
  install(TARGETS shimctl DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
foreach(process broker bundle log metadata shim)
  if(TARGET shimd-${process})
    install(TARGETS shimd-${process} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/shimd)
  endif()
endforeach()

# Made while installing: `cmake --install --prefix` may name another prefix than was configured.
install(CODE "
  set(SHIMD_SBINDIR \"${CMAKE_INSTALL_SBINDIR}\")
  cmake_path(ABSOLUTE_PATH SHIMD_SBINDIR BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\" NORMALIZE)
  set(SHIMD_BINDIR \"${CMAKE_INSTALL_BINDIR}\")
  cmake_path(ABSOLUTE_PATH SHIMD_BINDIR BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\" NORMALIZE)
  configure_file(\"${PROJECT_SOURCE_DIR}/packaging/shimd.service.in\"
                 \"${PROJECT_BINARY_DIR}/shimd.service\" @ONLY)
")
install(FILES ${PROJECT_BINARY_DIR}/shimd.service DESTINATION lib/systemd/system)

# A sample and not /etc/shimd/shimd.conf: every key in it is commented out, shimd runs without the
# file, and installing again must not undo what an administrator wrote there.
install(FILES packaging/shimd.conf DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES docs/containerd.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

foreach(section 1 5 7 8)
  file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.${section})
  if(pages)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endif()
endforeach()

set(completion ${PROJECT_SOURCE_DIR}/packaging/shimctl.bash)
if(EXISTS ${completion})
  install(FILES ${completion} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME shimctl)
endif()
