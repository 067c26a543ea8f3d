"""The parts of undo.cmd that are the same in every one: where it stands, and its subroutines.

Everything is told by exit codes and by lines of `reg query` that are not translated, never by what
a tool says to people. Nothing is deleted: a file that the repair installed is set aside. What was
read of the registry is only compared as `!LINE!`, which cmd.exe puts in after it has understood the
line: a quotation mark or a %L in somebody's data means nothing.

How each is used, by variables; DO is "look", "back" or "prove":

    :file      DIR NAME  where it belongs;  KEPT OLDSIZE OLDHASH  the original, OLDHASH undefined
               where there was none;  NEWSIZE NEWHASH  what the repair installed, or undefined;
               PACKED  the original's hash is not that of its bytes;
               NUMBER  names what is set aside;  DOUBT  a name could not be looked up
    :value     KEY NAME OURS WAS   OURS and WAS as `reg query` prints them, "absent", "?" not known
    :default   the same for the value without a name
    :made      KEY VALUES KEYS     a key that the repair made, and what it put into it
    :lost      KEY                 a key that the repair removed
"""

from __future__ import annotations

# {id}, {folder}: the transaction, the Windows folder. After it: "%OFFLINE%" and "%ROOT%" are set.
PLACE = r"""
setlocal EnableExtensions DisableDelayedExpansion
if defined PROCESSOR_ARCHITEW6432 goto narrow
set "MODE="
if "%~1"=="" set "MODE=ask"
if /i "%~1"=="/dry" set "MODE=dry"
if /i "%~1"=="/yes" set "MODE=yes"
if not defined MODE goto usage
set "HERE=%~dp0"
for %%I in ("%~dp0.") do if /i not "%%~nxI"=="{id}" goto misplaced
for %%I in ("%~dp0..") do if /i not "%%~nxI"=="RecoveryKit" goto misplaced
for %%I in ("%~dp0..\..") do set "ROOT=%%~fI"
if not "%ROOT:~-1%"=="\" set "ROOT=%ROOT%\"
if exist "%HERE%journal.undone" goto closed
if not exist "%HERE%journal.jsonl" goto misplaced
set "TOOLS=%SystemRoot%\System32"
set "REG=%TOOLS%\reg.exe"
if exist "%TOOLS%\fltmc.exe" "%TOOLS%\fltmc.exe" >nul 2>nul
if exist "%TOOLS%\fltmc.exe" if errorlevel 1 goto denied
set "OUT=%HERE%undo.tmp"
type nul >"%OUT%" 2>nul
if not exist "%OUT%" goto denied
set "OFFLINE=1"
if /i "%ROOT%{folder}"=="%SystemRoot%" set "OFFLINE="
set "FAILED="
set "OPEN=0"
set "CLOSED=0"
set "WRONG=0"
set "VALUES=0"
set "KEYS=0"
"""

# {import}: how the registry is written. ":look" only looks; from ":go" on something is changed.
COURSE = r"""
:look
set "DO=look"
call :files
call :registry
echo.
echo To take back: %OPEN%. Back already: %CLOSED%. In the way: %WRONG%.
if not "%WRONG%"=="0" goto conflict
if "%MODE%"=="dry" goto dry
if "%OPEN%"=="0" goto close
if "%MODE%"=="yes" goto go
echo Close this window to leave everything as it is.
pause
:go
set "DO=back"
call :files
if defined FAILED goto stopped
{import}
:close
set "DO=prove"
call :files
call :registry
if defined FAILED goto stopped
call :unload
ren "%HERE%journal.jsonl" journal.undone
if not exist "%HERE%journal.undone" goto stopped
set "CODE=0"
echo The repair was taken back. Restart Windows.
goto end

:dry
set "CODE=0"
echo Nothing was changed: this was a dry run.
goto end
:conflict
set "CODE=5"
echo Nothing was changed. Settle what is in the way, or boot the medium: recoverykit undo
goto end
:stopped
set "CODE=30"
echo Stopped in the middle. What is still to be done is shown by: undo.cmd /dry
echo Start it again, or boot the medium: recoverykit undo --transaction {id}
goto end
:narrow
"%SystemRoot%\Sysnative\cmd.exe" /d /c ""%~f0" %*"
exit /b %errorlevel%
:usage
set "CODE=2"
echo Usage: undo.cmd [/dry or /yes]
goto end
:misplaced
set "CODE=2"
echo This file works only where the repair left it: \RecoveryKit\{id} of the repaired volume.
goto end
:closed
set "CODE=3"
echo This repair was taken back already.
goto end
:denied
set "CODE=1"
echo Start it as an administrator: right-click, Run as administrator.
goto end
:notloaded
set "CODE=1"
echo A registry hive of that Windows cannot be opened. Nothing was changed.
goto end
:elsewhere
set "CODE=5"
echo It concerns a registry that a running Windows does not show. Nothing was changed.
echo Start it from a recovery console, or boot the medium: recoverykit undo
:end
call :unload
if defined OUT if exist "%OUT%" del "%OUT%" >nul 2>nul
if "%MODE%"=="ask" pause
exit /b %CODE%
"""

FILE = r"""
:file
if defined FAILED exit /b 0
set "TARGET=%DIR%\%NAME%"
set "STATE=wrong"
if defined DOUBT goto filetold
if defined PACKED goto filepacked
if not exist "%TARGET%" goto filegone
if not defined OLDHASH goto fileold
set "FILE=%TARGET%"
set "SIZE=%OLDSIZE%"
set "HASH=%OLDHASH%"
call :same
if defined SAME set "STATE=was"
if defined SAME goto filetold
:fileold
if not defined NEWHASH goto filetold
set "FILE=%TARGET%"
set "SIZE=%NEWSIZE%"
set "HASH=%NEWHASH%"
call :same
if not defined SAME goto filetold
goto filekept
:filegone
if not defined OLDHASH set "STATE=was"
if not defined OLDHASH goto filetold
:filekept
if not defined OLDHASH set "STATE=ours"
if not defined OLDHASH goto filetold
set "FILE=%KEPT%"
set "SIZE=%OLDSIZE%"
set "HASH=%OLDHASH%"
call :same
if defined SAME set "STATE=ours"
goto filetold
:filepacked
if not exist "%KEPT%" if exist "%TARGET%" set "STATE=was"
if not exist "%KEPT%" goto filetold
if not exist "%TARGET%" set "STATE=ours"
if not exist "%TARGET%" goto filetold
if not defined NEWHASH goto filetold
set "FILE=%TARGET%"
set "SIZE=%NEWSIZE%"
set "HASH=%NEWHASH%"
call :same
if defined SAME set "STATE=ours"
:filetold
if "%DO%"=="back" goto fileback
set "WHAT=%TARGET%"
goto tell
:fileback
if not "%STATE%"=="ours" exit /b 0
if exist "%TARGET%" call :aside
if defined FAILED exit /b 0
if not defined OLDHASH exit /b 0
move "%KEPT%" "%TARGET%" >nul
if exist "%TARGET%" exit /b 0
set "FAILED=1"
echo Could not be put back: "%TARGET%"
exit /b 0
:aside
if not exist "%HERE%undone" md "%HERE%undone"
set "ASIDE=%HERE%undone\%NUMBER%.installed"
if exist "%ASIDE%" goto notaside
move "%TARGET%" "%ASIDE%" >nul 2>nul
if not exist "%TARGET%" exit /b 0
"%TOOLS%\takeown.exe" /f "%TARGET%" /a >nul 2>nul
"%TOOLS%\icacls.exe" "%TARGET%" /grant *S-1-5-32-544:F >nul 2>nul
move "%TARGET%" "%ASIDE%" >nul
if not exist "%TARGET%" exit /b 0
:notaside
set "FAILED=1"
echo Could not be set aside: "%TARGET%"
exit /b 0
:same
set "SAME="
set "NOW="
if not exist "%FILE%" exit /b 0
for %%F in ("%FILE%") do set "NOW=%%~zF"
if not "%NOW%"=="%SIZE%" exit /b 0
if "%SIZE%"=="0" set "SAME=1"
if not exist "%TOOLS%\certutil.exe" set "SAME=1"
if defined SAME exit /b 0
"%TOOLS%\certutil.exe" -hashfile "%FILE%" SHA256 >"%OUT%" 2>nul
for /f "usebackq delims=" %%L in ("%OUT%") do if /i "%%L"=="%HASH%" set "SAME=1"
call :pairs
exit /b 0
:pairs
set "PAIRS="
set "REST=%HASH%"
:pair
set "PAIRS=%PAIRS% %REST:~0,2%"
set "REST=%REST:~2%"
if defined REST goto pair
for /f "usebackq delims=" %%L in ("%OUT%") do if /i " %%L"=="%PAIRS%" set "SAME=1"
for /f "usebackq delims=" %%L in ("%OUT%") do if /i " %%L"=="%PAIRS% " set "SAME=1"
exit /b 0
"""

REGISTRY = r"""
:value
set "WHAT=%KEY%\%NAME%"
set "LINE="
"%REG%" query "%KEY%" /v "%NAME%" >"%OUT%" 2>nul
if errorlevel 1 goto gone
for /f "usebackq delims=" %%L in ("%OUT%") do set "LINE=%%L"
set "HEAD=    %NAME%"
goto compare
:default
set "WHAT=%KEY%"
"%REG%" query "%KEY%" >"%OUT%" 2>nul
if errorlevel 1 goto gone
set "LINE="
for /f "usebackq tokens=1 delims=(" %%A in ("%OUT%") do if "%%A"=="    " set "LINE=set"
if not defined LINE goto gone
"%REG%" query "%KEY%" /ve >"%OUT%" 2>nul
set "LINE="
for /f "usebackq tokens=1* delims=)" %%A in ("%OUT%") do set "LINE=%%B"
set "HEAD="
:compare
call :matches
set "MATCH=%errorlevel%"
set "STATE=wrong"
if "%MATCH%"=="1" set "STATE=was"
if "%MATCH%"=="2" set "STATE=ours"
goto known
:matches
setlocal EnableDelayedExpansion
if "!LINE!"=="!HEAD!    !OURS!" exit /b 2
if "!LINE!"=="!HEAD!    !WAS!" exit /b 1
exit /b 0
:made
set "WHAT=%KEY%"
set "OURS="
set "WAS=absent"
for /f "tokens=1 delims=\" %%A in ("%KEY%") do set "TOP=%%A"
"%REG%" query "%KEY%" >"%OUT%" 2>nul
if errorlevel 1 goto gone
set "STATE=wrong"
set "LINE="
set /a HASVALUES=0
set /a HASKEYS=0
for /f "usebackq delims=" %%L in ("%OUT%") do if not defined LINE set "LINE=%%L"
for /f "usebackq delims=" %%L in ("%OUT%") do set /a HASVALUES+=1
for /f "usebackq tokens=1 delims=\" %%A in ("%OUT%") do if "%%A"=="%TOP%" set /a HASKEYS+=1
set /a HASVALUES-=HASKEYS
call :headed
if errorlevel 1 set /a HASKEYS-=1
if %HASVALUES% LEQ %VALUES% if %HASKEYS% LEQ %KEYS% set "STATE=ours"
goto known
:headed
setlocal EnableDelayedExpansion
if /i "!LINE!"=="!KEY!" exit /b 1
exit /b 0
:lost
set "WHAT=%KEY%"
set "OURS=absent"
set "WAS=?"
"%REG%" query "%KEY%" >"%OUT%" 2>nul
if errorlevel 1 goto gone
set "STATE=was"
goto known
:gone
set "STATE=wrong"
if "%WAS%"=="absent" set "STATE=was"
if "%OURS%"=="absent" set "STATE=ours"
goto tell
:known
if "%DO%"=="prove" if "%STATE%"=="wrong" if "%WAS%"=="?" set "STATE=was"
goto tell
"""

TELL = r"""
:tell
if "%DO%"=="prove" goto prove
if "%STATE%"=="was" set /a CLOSED+=1
if "%STATE%"=="ours" set /a OPEN+=1
if "%STATE%"=="wrong" set /a WRONG+=1
if "%STATE%"=="was" echo   is back:     "%WHAT%"
if "%STATE%"=="ours" echo   to be done:  "%WHAT%"
if "%STATE%"=="wrong" echo   IN THE WAY:  "%WHAT%" is neither as the repair left it nor as before
exit /b 0
:prove
if "%STATE%"=="was" exit /b 0
set "FAILED=1"
echo   NOT BACK:    "%WHAT%"
exit /b 0
"""
