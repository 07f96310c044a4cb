; HEADER_BLOCK_START
; BambuStudio 01.09.07.52
; model printing time: 52m 3s; total estimated time: 1h 2m 3s
; total layer number: 3
; total filament length [mm] : 7.92
; total filament weight [g] : 4.50
; HEADER_BLOCK_END

; CONFIG_BLOCK_START
; filament_colour = #FF8000
; filament_cost = 25.4
; filament_density = 1.24
; filament_settings_id = "Made PLA"
; filament_type = PLA
; hot_plate_temp_initial_layer = 60
; initial_layer_print_height = 0.3
; nozzle_temperature_initial_layer = 215
; layer_height = 0.2
; nozzle_diameter = 0.4
; printer_model = MK9
; CONFIG_BLOCK_END
M140 S60
M104 S150
G28
M190 S60
M109 S215
G90
M82
G92 E0
; CHANGE_LAYER
; Z_HEIGHT: 0.3
; LAYER_HEIGHT: 0.3
; layer num/total_layer_count: 1/3
; start printing object, unique label id: 15
G1 Z0.30 F600
G0 X50 Y50 F6000
G1 X70 Y50 E0.66 F1800
G1 X70 Y70 E1.32 F1800
G1 X50 Y70 E1.98 F1800
G1 X50 Y50 E2.64 F1800
; CHANGE_LAYER
; Z_HEIGHT: 0.5
; LAYER_HEIGHT: 0.2
; layer num/total_layer_count: 2/3
; start printing object, unique label id: 15
G1 Z0.50 F600
G0 X50 Y50 F6000
G1 X70 Y50 E3.30 F1800
G1 X70 Y70 E3.96 F1800
G1 X50 Y70 E4.62 F1800
G1 X50 Y50 E5.28 F1800
; CHANGE_LAYER
; Z_HEIGHT: 0.7
; LAYER_HEIGHT: 0.2
; layer num/total_layer_count: 3/3
; start printing object, unique label id: 15
G1 Z0.70 F600
G0 X50 Y50 F6000
G1 X70 Y50 E5.94 F1800
G1 X70 Y70 E6.60 F1800
G1 X50 Y70 E7.26 F1800
G1 X50 Y50 E7.92 F1800
M104 S0
M140 S0
M84
