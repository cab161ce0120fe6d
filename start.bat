@echo off
rem Finds a Python that Athanor runs on and hands over to launch.py; keeps the window open on an error.
chcp 65001 >nul
cd /d "%~dp0"
set "PYTHONUTF8=1"
for %%V in (3.11 3.12 3.13) do (
    py -%%V -c "import sys" >nul 2>nul && (
        py -%%V launch.py %*
        goto finished
    )
)
for %%P in (python python3) do (
    %%P -c "import sys" >nul 2>nul && (
        %%P launch.py %*
        goto finished
    )
)
echo Athanor needs Python 3.11, 3.12 or 3.13, and found none.
echo Install it from https://www.python.org/downloads/ (tick "Add python.exe to PATH") and start again.
echo Athanor 需要 Python 3.11、3.12 或 3.13。请从 https://www.python.org/downloads/ 安装(勾选 "Add python.exe to PATH")后重新启动。
pause
exit /b 1
:finished
set "CODE=%ERRORLEVEL%"
if not "%CODE%"=="0" pause
exit /b %CODE%
